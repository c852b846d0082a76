"""The nouns of a chat: messages with text, images and tool calls, and the options of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ImageType = Literal["image/jpeg", "image/png", "image/webp", "image/gif"]
Detail = Literal["auto", "low", "high"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model thinks before it answers; `none` switches thinking off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An encoded image. Its size is that of its header, 0 where nothing has read it."""

    data: bytes = field(repr=False)
    media_type: ImageType = "image/jpeg"
    detail: Detail = "auto"
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool that a model requests. `arguments` is JSON text as the model wrote it, and may be invalid."""

    call_id: str
    name: str
    arguments: str = field(repr=False)
    signature: str | None = field(default=None, repr=False)
    """The vendor's signature of the thought that led to the call. The vendor expects it back with the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call. The first piece of each `index` has the id and the name, each piece more arguments."""

    index: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = field(default="", repr=False)
    signature: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedThought:
    """A thought of OpenAI's Responses API, which only its own model reads; other vendors' models never receive it."""

    encrypted: str = field(repr=False)
    summary: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation: texts and images in the order in which they were written."""

    role: Role
    content: tuple[str | Image, ...] = field(default=(), repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls that an assistant's message contains."""
    thoughts: tuple[EncryptedThought, ...] = ()
    """The thoughts that led to an assistant's message, as far as the caller sent them back."""
    tool_call_id: str | None = None
    """The call to which a tool's message is the result."""
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    """The ids of a text by the model's own tokenizer, in place of it; only an embedding's input has them."""

    @property
    def text(self) -> str:
        """Return the texts as one, each on a line of its own."""
        return "\n".join(part for part in self.content if isinstance(part, str) and part)

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.content if isinstance(part, Image))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may call; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str | None = field(default=None, repr=False)
    parameters: Mapping[str, Any] | None = field(default=None, repr=False)
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Whether a model may or must call a tool. `name` is the tool that it must call, with the mode `function`."""

    mode: Literal["auto", "none", "required", "function"]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """The format of an answer; `json_schema` has a name and a JSON Schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = field(default=None, repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """The options of a chat request, by OpenAI's names. An option that is None or empty was not given."""

    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Return the names of the options that were given."""
        return tuple(name for name in _OPTIONS if getattr(self, name) not in (None, ()))

    @property
    def wants_json(self) -> bool:
        return self.response_format is not None and self.response_format.type != "text"

    def without(self, names: Iterable[str]) -> ChatOptions:
        """Return the options with `names` as if they had not been given."""
        changes = {name: getattr(_NO_OPTIONS, name) for name in names}
        return replace(self, **changes) if changes else self


# Computed once, because every request's options are compared with each of its models.
_OPTIONS = tuple(f.name for f in fields(ChatOptions))
_NO_OPTIONS = ChatOptions()
