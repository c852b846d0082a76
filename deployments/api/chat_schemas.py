"""Schemas of a chat completion request, as OpenAI's clients send it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from deployments.api.body import MAX_IMAGE_CHARS, Body, Text, Words, one_of
from deployments.api.inline_images import inline_jpeg
from deployments.api.openai_params import Neutral, NotPassedOn
from routing.chat import Message
from routing.errors import BadInput

MAX_MESSAGES = 512
MAX_IMAGES = 8


class ImageUrl(Body):
    url: Annotated[str, Field(max_length=MAX_IMAGE_CHARS)]
    detail: Literal["auto", "low", "high"] = "auto"


class Part(Body):
    """A part of a message: a text, or an image inline."""

    type: Literal["text", "image_url"]
    text: Text | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _holds_its_type(self) -> Part:
        if (self.text is None) is (self.type == "text") or (self.image_url is None) is (self.type == "image_url"):
            raise PydanticCustomError("part", "must hold exactly the field that its type names")
        return self


Parts = Annotated[list[Part], Field(max_length=64), Tag("(list)")]


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Words | Parts, one_of("a text or a list of parts")]
    name: Annotated[str, Field(max_length=256)] | None = None
    # Clients send the message of an answer back unchanged with the next turn.
    refusal: Annotated[Any, Neutral()] = None
    annotations: Annotated[Any, Neutral([])] = None
    audio: Annotated[Any, Neutral()] = None
    tool_calls: Annotated[Any, Neutral([])] = None
    function_call: Annotated[Any, Neutral()] = None


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(NotPassedOn, Body):
    """OpenAI's chat completion request, as far as it is passed on."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    # The token identifies the caller: these labels are accepted and ignored, except `last_answer`.
    user: Annotated[str, Field(max_length=256)] | None = None
    safety_identifier: Annotated[str, Field(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=256)] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    @property
    def last_answer_failed(self) -> bool:
        """Return whether the caller marks the last answer as failed: `"metadata": {"last_answer": "failed"}`."""
        return (self.metadata or {}).get("last_answer") == "failed"

    def output_tokens(self, default: int) -> int:
        return self.max_completion_tokens or self.max_tokens or default

    @property
    def output_field(self) -> str:
        """Return the name of the output limit field that the caller used."""
        return "max_completion_tokens" if self.max_completion_tokens else "max_tokens"


def to_messages(messages: list[ChatMessage], max_px: int) -> tuple[Message, ...]:
    """Convert the messages of a chat; raises BadInput for an image that is no inline JPEG, or for too many."""
    found = tuple(_to_message(message, f"messages.{i}.content", max_px) for i, message in enumerate(messages))
    if sum(len(message.images) for message in found) > MAX_IMAGES:
        raise BadInput(f"A request may hold {MAX_IMAGES} images at most.", "messages")
    return found


def _to_message(message: ChatMessage, where: str, max_px: int) -> Message:
    role: Any = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role=role, content=(message.content,))
    content = [
        inline_jpeg(part.image_url.url, f"{where}.{i}.image_url.url", max_px) if part.image_url else part.text or ""
        for i, part in enumerate(message.content)
    ]
    return Message(role=role, content=tuple(content))
