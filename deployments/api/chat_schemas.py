"""Schemas of a chat completion request, as OpenAI's clients send it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from deployments.api.body import MAX_IMAGE_CHARS, Label, LenientBody, Text, Words, one_of, participant_of
from deployments.api.openai_params import Neutral, NotPassedOn
from deployments.api.tool_schemas import (
    MAX_ID_CHARS,
    MAX_TOOLS,
    CallInHistory,
    FormatOfAnswer,
    NamedTool,
    ToolDefinition,
)
from routing.chat import Detail, Effort

MAX_MESSAGES = 512
MAX_PARTS = 64
MAX_STOPS = 16
MAX_BIASES = 1_024
MAX_OUTPUT_TOKENS = 1_000_000
"""Above the limit of every model: the model's own limit is checked where the model is chosen."""

Penalty = Annotated[float, Field(ge=-2, le=2)]
OutputTokens = Annotated[int, Field(ge=1, le=MAX_OUTPUT_TOKENS)]


class ImageUrl(LenientBody):
    url: Annotated[str, Field(max_length=MAX_IMAGE_CHARS)]
    detail: Detail | None = None


class Part(LenientBody):
    """A part of a message: a text, an image inline, or the refusal of an earlier answer."""

    # The fields of other types are here, because the error of such a part names its type.
    harmless: ClassVar[frozenset[str]] = frozenset(
        {"annotations", "cache_control", "extra_content", "file", "id", "input_audio", "video_url"}
    )
    type: Literal["text", "image_url", "refusal"]
    text: Text | None = None
    image_url: ImageUrl | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _holds_its_type(self) -> Part:
        fields = {"text": self.text, "image_url": self.image_url, "refusal": self.refusal}
        if [name for name, value in fields.items() if value is not None] != [self.type]:
            raise PydanticCustomError("part", "must hold exactly the field that its type names")
        return self

    @property
    def words(self) -> str:
        return self.text or self.refusal or ""


Parts = Annotated[list[Part], Field(fail_fast=True, max_length=MAX_PARTS), Tag("(list)")]
Content = Annotated[Words | Parts, one_of("a text or a list of parts")]
Calls = Annotated[list[CallInHistory], Field(fail_fast=True, max_length=MAX_TOOLS)]


# For the OpenAPI document: `check_history` checks it, with the other rules about several messages.
_ASSISTANTS: dict[str, Any] = {"properties": {"role": {"const": "assistant"}}}
_WITH_CONTENT: dict[str, Any] = {"required": ["content"], "properties": {"content": {"not": {"type": "null"}}}}


class ChatMessage(LenientBody):
    """A message. Clients send the message of an answer back unchanged with the next turn, with all its fields."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {
            "annotations",
            "cache_control",
            "extra_content",
            "id",
            "metadata",
            "parsed",
            "provider_specific_fields",
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "thinking_blocks",
        }
    )
    model_config = ConfigDict(json_schema_extra={"anyOf": [_ASSISTANTS, _WITH_CONTENT]})
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    refusal: Text | None = None
    tool_calls: Calls | None = None
    tool_call_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    audio: Annotated[Any, Neutral()] = None
    function_call: Annotated[Any, Neutral(instead="use tool_calls, which replaces it")] = None

    @property
    def parts(self) -> list[Part]:
        """Return the content as parts; a text is one part."""
        if isinstance(self.content, str):
            return [Part.model_construct(type="text", text=self.content)]
        return self.content or []


class StreamOptions(LenientBody):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Stop = Annotated[str, Field(min_length=1, max_length=1_024)]
OneStop = Annotated[Stop, Tag("(text)")]
Stops = Annotated[list[Stop], Field(fail_fast=True, max_length=MAX_STOPS), Tag("(list)")]
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenId = Annotated[str, Field(pattern=r"^\d{1,9}$")]
Mode = Annotated[Literal["none", "auto", "required"], Tag("(text)")]
ForcedTool = Annotated[NamedTool, Tag("(object)")]


class ChatRequest(NotPassedOn):
    """OpenAI's chat completion request."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    messages: Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: OutputTokens | None = None
    max_completion_tokens: OutputTokens | None = None
    """The most tokens of the visible answer: 4,096 unless the configuration says otherwise, or the model's limit."""
    tools: Annotated[list[ToolDefinition], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_choice: Annotated[Mode | ForcedTool, one_of("none, auto, required or a tool by its name")] | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatOfAnswer | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: Annotated[OneStop | Stops, one_of("a text or a list of texts")] | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Field(fail_fast=True, max_length=MAX_BIASES)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    drop_params: bool | None = None
    """Whether parameters that the model does not support are dropped; otherwise each is an error."""
    # The token identifies the caller: these labels are accepted and ignored, except `last_answer` and the person.
    user: Label | None = None
    """The participant whose request it is, for the bill; else `safety_identifier` is."""
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None

    @property
    def last_answer_failed(self) -> bool:
        """Return whether the caller marks the last answer as failed: `"metadata": {"last_answer": "failed"}`."""
        return (self.metadata or {}).get("last_answer") == "failed"

    @property
    def participant(self) -> str:
        return participant_of(self.user, self.safety_identifier)

    @property
    def output_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def output_field(self) -> str:
        """Return the name of the output limit field that the caller used."""
        return "max_completion_tokens" if self.max_completion_tokens else "max_tokens"
