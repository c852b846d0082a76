"""Schemas of a chat completion request, as OpenAI's clients send it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PrivateAttr, StrictBool, Tag, model_validator
from pydantic_core import PydanticCustomError

from deployments.api.body import ImageText, Label, LenientBody, Text, Words, one_of, participant_of
from deployments.api.chat.tool_schemas import (
    MAX_ID_CHARS,
    MAX_TOOLS,
    CallInHistory,
    FormatOfAnswer,
    NamedTool,
    ToolDefinition,
)
from deployments.api.field_rules import (
    CLOSED,
    FILLED_LIST,
    NO_LIST,
    NULL,
    OBJECT,
    TEXT,
    content_of,
    if_given,
    one_value,
    variant,
)
from deployments.api.openai_params import Neutral, NotPassedOn
from routing.chat import Detail, Effort, EncryptedThought
from routing.validation import WHOLE

MAX_MESSAGES = 512
MAX_PARTS = 64
MAX_STOPS = 16
MAX_BIASES = 1_024
MAX_OUTPUT_TOKENS = 1_000_000
"""Above the limit of every model: the model's own limit is checked where the model is chosen."""

Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]
OutputTokens = Annotated[int, Field(strict=True, ge=1, le=MAX_OUTPUT_TOKENS), WHOLE]


class ImageUrl(LenientBody):
    url: ImageText
    detail: Detail | None = None


_PART_RULES: dict[str, Any] = {
    "oneOf": [
        variant(["text"], type=one_value("text"), text=TEXT, image_url=NULL, refusal=NULL),
        variant(["image_url"], type=one_value("image_url"), image_url=OBJECT, text=NULL, refusal=NULL),
        variant(["refusal"], type=one_value("refusal"), refusal=TEXT, text=NULL, image_url=NULL),
    ]
}


class Part(LenientBody):
    """A part of a message: a text, an image inline, or the refusal of an earlier answer."""

    # The fields of other types are here, because the error of such a part names its type.
    harmless: ClassVar[frozenset[str]] = frozenset(
        {"annotations", "cache_control", "extra_content", "file", "id", "input_audio", "video_url"}
    )
    model_config = ConfigDict(json_schema_extra=_PART_RULES)
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


# For the OpenAPI document: `check_history` checks these, with the rules about several messages.
_MESSAGE_RULES: dict[str, Any] = {
    "anyOf": [
        variant(["content"], role=one_value("system", "developer"), content=content_of("text"), tool_calls=NO_LIST),
        variant(["content"], role=one_value("user"), content=content_of("text", "image_url"), tool_calls=NO_LIST),
        variant(
            ["content", "tool_call_id"],
            role=one_value("tool"),
            content=content_of("text", "image_url"),
            tool_call_id=TEXT,
            tool_calls=NO_LIST,
        ),
        variant(["content"], role=one_value("assistant"), content=content_of("text", "refusal")),
        variant(["tool_calls"], role=one_value("assistant"), content=NULL, tool_calls=FILLED_LIST),
        variant(["refusal"], role=one_value("assistant"), content=NULL, refusal=TEXT | {"minLength": 1}),
    ]
}
_REQUEST_RULES: dict[str, Any] = {
    "allOf": [
        if_given(
            ["tool_choice"],
            variant(["tools"], tools=FILLED_LIST),
            tool_choice={"not": one_value("none", "auto", None)},
        ),
        if_given(
            ["top_logprobs"],
            variant(["logprobs"], logprobs=one_value(True)),
            top_logprobs={"type": "integer", "minimum": 1},
        ),
    ]
}


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
    model_config = ConfigDict(json_schema_extra=_MESSAGE_RULES)
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    refusal: Text | None = None
    tool_calls: Calls | None = None
    tool_call_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    audio: Annotated[Any, Neutral()] = None
    function_call: Annotated[Any, Neutral(instead="use tool_calls, which replaces it")] = None
    # Chat completions have no field for them: only a Responses request sets them.
    _thoughts: tuple[EncryptedThought, ...] = PrivateAttr(default=())

    @property
    def thoughts(self) -> tuple[EncryptedThought, ...]:
        return self._thoughts

    def set_thoughts(self, thoughts: Iterable[EncryptedThought]) -> None:
        self._thoughts = tuple(thoughts)

    @property
    def parts(self) -> list[Part]:
        """Return the content as parts; a text is one part."""
        if isinstance(self.content, str):
            return [Part.model_construct(type="text", text=self.content)]
        return self.content or []


class StreamOptions(LenientBody):
    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None


Stop = Annotated[str, Field(min_length=1, max_length=1_024)]
OneStop = Annotated[Stop, Tag("(text)")]
Stops = Annotated[list[Stop], Field(fail_fast=True, max_length=MAX_STOPS), Tag("(list)")]
Bias = Annotated[float, Field(strict=True, ge=-100, le=100)]
TokenId = Annotated[str, Field(pattern=r"^\d{1,9}$")]
Biases = Annotated[dict[TokenId, Bias], Field(fail_fast=True, max_length=MAX_BIASES, json_schema_extra=CLOSED)]
Mode = Annotated[Literal["none", "auto", "required"], Tag("(text)")]
ForcedTool = Annotated[NamedTool, Tag("(object)")]


class ChatRequest(NotPassedOn):
    """OpenAI's chat completion request."""

    model_config = ConfigDict(json_schema_extra=_REQUEST_RULES)
    model: Annotated[str, Field(max_length=128)] = "auto"
    messages: Annotated[list[ChatMessage], Field(fail_fast=True, min_length=1, max_length=MAX_MESSAGES)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: OutputTokens | None = None
    max_completion_tokens: OutputTokens | None = None
    """The most tokens of the visible answer: 4,096 unless the configuration says otherwise, or the model's limit."""
    tools: Annotated[list[ToolDefinition], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_choice: Annotated[Mode | ForcedTool, one_of("none, auto, required or a tool by its name")] | None = None
    parallel_tool_calls: StrictBool | None = None
    response_format: FormatOfAnswer | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    stop: Annotated[OneStop | Stops, one_of("a text or a list of texts")] | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63), WHOLE] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20), WHOLE] | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    drop_params: StrictBool | None = None
    """Whether parameters that the model does not support are dropped; otherwise each is an error."""
    # The token identifies the caller: these labels are accepted and ignored, except `last_answer` and the person.
    user: Label | None = None
    """The participant whose request it is, for the bill; else `safety_identifier` is."""
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    store: StrictBool | None = None
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
