"""Schemas of embedding requests and of knowledge searches, which embed a question."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from deployments.api.body import MAX_IMAGE_CHARS, Body, Text, Words, one_of
from deployments.api.inline_images import inline_image
from routing.chat import Message
from routing.errors import BadInput


class Item(Body):
    """An embedding input that is more than a text."""

    text: Text = ""
    image: Annotated[str, Field(max_length=MAX_IMAGE_CHARS)] | None = None


Input = Annotated[Words | Annotated[Item, Tag("(object)")], one_of("a text or an object")]
Inputs = Annotated[list[Input], Field(min_length=1, max_length=128), Tag("(list)")]


class EmbeddingRequest(Body):
    """OpenAI's embedding request; an input may also be `{"text": ..., "image": "data:image/...;base64,..."}`."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    input: Annotated[Words | Inputs, one_of("a text or a list of inputs")]
    encoding_format: Literal["float", "base64"] = "float"
    user: Annotated[str, Field(max_length=256)] | None = None


class KnowledgeSearch(Body):
    """A question to the tenant's knowledge base, and the frame it is about."""

    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    image: Annotated[str, Field(max_length=MAX_IMAGE_CHARS)] | None = None
    top_k: Annotated[int, Field(strict=True, ge=1, le=20)] = 5


def to_inputs(request: EmbeddingRequest, max_px: int) -> tuple[Message, ...]:
    """Convert the inputs of an embedding request, in order; raises BadInput."""
    items = [request.input] if isinstance(request.input, str) else request.input
    return tuple(_to_input(item, f"input.{i}", max_px) for i, item in enumerate(items))


def _to_input(item: str | Item, where: str, max_px: int) -> Message:
    if isinstance(item, str):
        item = Item(text=item)
    if not item.text and item.image is None:
        raise BadInput(f"{where}: is empty.", where)
    images = () if item.image is None else (inline_image(item.image, f"{where}.image", max_px),)
    return Message(role="user", content=(item.text, *images))
