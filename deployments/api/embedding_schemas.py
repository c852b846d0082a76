"""Schemas of embedding requests and of knowledge searches, which embed a question."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, Tag

from deployments.api.body import Body, ImageText, Label, LenientBody, Text, one_of
from deployments.api.field_rules import TEXT, variant
from deployments.api.inline_images import inline_image
from routing.chat import Message
from routing.errors import BadInput
from routing.validation import WHOLE

MAX_INPUTS = 2_048
MAX_TOKEN_IDS = 300_000
"""OpenAI's own limits; those of the vendors differ, and the gateway splits what exceeds them."""
MAX_DIMENSIONS = 8_192


class EmbeddedItem(Body):
    """An embedding input that is more than a text."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [variant(["text"], text=TEXT | {"minLength": 1}), variant(["image"], image=TEXT)]}
    )
    text: Text = ""
    image: ImageText | None = None


def _in_a_list(value: Any) -> Any:
    """Return the token ids of one text as a list of one input."""
    return [value] if isinstance(value, list) and value and type(value[0]) is int else value


InputText = Annotated[Text, Field(min_length=1), Tag("(text)")]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(fail_fast=True, min_length=1, max_length=MAX_TOKEN_IDS), Tag("(list)")]
Object = Annotated[EmbeddedItem, Tag("(object)")]
Input = Annotated[InputText | TokenIds | Object, one_of("a text, token ids or an object")]
Inputs = Annotated[list[Input], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS), Tag("(list)")]


class EmbeddingRequest(LenientBody):
    """OpenAI's embedding request; an input may also be `{"text": ..., "image": "data:image/...;base64,..."}`."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    input: Annotated[
        Annotated[InputText | Inputs, one_of("a text or a list of inputs")],
        BeforeValidator(_in_a_list, InputText | TokenIds | Inputs),
    ]
    dimensions: Annotated[int, Field(strict=True, ge=1, le=MAX_DIMENSIONS), WHOLE] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Label | None = None
    """The participant whose request it is, for the bill."""
    drop_params: StrictBool | None = None


class KnowledgeSearch(Body):
    """A question to the tenant's knowledge base, and the frame it is about."""

    query: Annotated[str, Field(min_length=1, max_length=10_000, json_schema_extra={"pattern": r"\S"})]
    image: ImageText | None = None
    top_k: Annotated[int, Field(strict=True, ge=1, le=20), WHOLE] = 5
    user: Label | None = None
    """The participant whose question it is, for the bill."""


def to_inputs(request: EmbeddingRequest, max_px: int) -> tuple[Message, ...]:
    """Convert the inputs of an embedding request, in order; raises BadInput."""
    items = [request.input] if isinstance(request.input, str) else request.input
    if sum(len(item) for item in items if isinstance(item, list)) > MAX_TOKEN_IDS:
        raise BadInput(f"input: holds more than {MAX_TOKEN_IDS} token ids.", "input")
    return tuple(_to_input(item, f"input.{i}", max_px) for i, item in enumerate(items))


def _to_input(item: str | list[int] | EmbeddedItem, where: str, max_px: int) -> Message:
    if isinstance(item, list):
        return Message(role="user", token_ids=tuple(item))
    if isinstance(item, str):
        item = EmbeddedItem(text=item)
    if not item.text and item.image is None:
        raise BadInput(f"{where}: is empty.", where)
    images = () if item.image is None else (inline_image(item.image, f"{where}.image", max_px),)
    return Message(role="user", content=(item.text, *images))
