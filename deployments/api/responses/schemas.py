"""OpenAI's Responses request, as far as it needs no stored state. Each has a chat completion that means the same."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, Tag

from deployments.api.body import MAX_TEXT_CHARS, ImageText, Label, LenientBody, ObjectText, Text, Words, one_of
from deployments.api.chat.schemas import MAX_MESSAGES, MAX_PARTS, Mode, OutputTokens
from deployments.api.chat.tool_schemas import MAX_ID_CHARS, MAX_TOOLS, Name, Parameters, Schema
from deployments.api.field_rules import FILLED_LIST, TEXT, content_of, if_given, one_value, variant
from deployments.api.openai_params import Neutral
from routing.chat import Detail, Effort
from routing.validation import WHOLE

_STATELESS = "send the whole conversation as `input`: no response is stored here"


_TEXTS = ("input_text", "output_text")
_PART_RULES: dict[str, Any] = {
    "oneOf": [
        variant(["text"], type=one_value(*_TEXTS), text=TEXT),
        variant(["refusal"], type=one_value("refusal"), refusal=TEXT),
        variant(["image_url"], type=one_value("input_image"), image_url=TEXT),
    ]
}


class InputPart(LenientBody):
    """A part of a message, or of a tool's output."""

    model_config = ConfigDict(json_schema_extra=_PART_RULES)
    harmless: ClassVar[frozenset[str]] = frozenset({"annotations", "file_data", "file_url", "filename", "logprobs"})
    type: Literal["input_text", "output_text", "refusal", "input_image"]
    text: Text | None = None
    refusal: Text | None = None
    image_url: ImageText | None = None
    detail: Detail | None = None
    file_id: Annotated[Any, Neutral(instead="send the image inline in image_url")] = None


InputParts = Annotated[list[InputPart], Field(fail_fast=True, max_length=MAX_PARTS), Tag("(list)")]
InputContent = Annotated[Words | InputParts, one_of("a text or a list of parts")]


def _without_open_thoughts(value: Any) -> Any:
    """Return the items with only the fields of reasoning that OpenAI takes back; each vendor has other ones beside."""
    return [_encrypted_thought(item) for item in value] if isinstance(value, list) else value


def _encrypted_thought(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return item
    names = ("type", "summary", "encrypted_content") if item.get("encrypted_content") else ("type",)
    return {name: item[name] for name in names if name in item}


class ThoughtSummary(LenientBody):
    type: Literal["summary_text"]
    text: Text


# For the OpenAPI document: these are checked where an item becomes a message of the chat.
_ITEM_RULES: dict[str, Any] = {
    "anyOf": [
        variant(
            ["role", "content"],
            type=one_value("message"),
            role=one_value("system", "developer"),
            content=content_of(*_TEXTS),
        ),
        variant(
            ["role", "content"],
            type=one_value("message"),
            role=one_value("user"),
            content=content_of(*_TEXTS, "input_image"),
        ),
        variant(
            ["role", "content"],
            type=one_value("message"),
            role=one_value("assistant"),
            content=content_of(*_TEXTS, "refusal"),
        ),
        variant(
            ["type", "call_id", "name", "arguments"],
            type=one_value("function_call"),
            call_id=TEXT,
            name=TEXT,
            arguments=TEXT,
        ),
        variant(
            ["type", "call_id", "output"],
            type=one_value("function_call_output"),
            call_id=TEXT,
            output=content_of(*_TEXTS, "input_image"),
        ),
        variant(["type"], type=one_value("reasoning")),
    ]
}
_IS_REASONING = variant(["type"], type=one_value("reasoning"))


class InputItem(LenientBody):
    """A message, a function call or its output; a message may leave its type out.

    Reasoning with `encrypted_content` goes back to OpenAI's models where the answer needs the Responses API, which is
    the case with tools. It is dropped for every other model and in chat completions. Other reasoning is dropped always.
    """

    model_config = ConfigDict(json_schema_extra=_ITEM_RULES)
    harmless: ClassVar[frozenset[str]] = frozenset({"id", "namespace", "phase", "status"})
    type: Literal["message", "function_call", "function_call_output", "reasoning", "item_reference"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: InputContent | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    arguments: ObjectText | None = None
    output: InputContent | None = None
    summary: Annotated[list[ThoughtSummary], Field(fail_fast=True, max_length=MAX_PARTS)] | None = None
    encrypted_content: Text | None = None


InputItems = Annotated[
    list[InputItem],
    Field(
        fail_fast=True,
        min_length=1,
        max_length=2 * MAX_MESSAGES,
        json_schema_extra={"contains": {"not": _IS_REASONING}},
    ),
    Tag("(list)"),
]
InputText = Annotated[str, Field(max_length=MAX_TEXT_CHARS, json_schema_extra={"pattern": r"\S"}), Tag("(text)")]


class ResponsesTool(LenientBody):
    """A function; the vendor's own tools are not passed on."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: Parameters | None = None
    strict: StrictBool | None = None
    defer_loading: Annotated[Any, Neutral(False)] = None


class ChosenTool(LenientBody):
    type: Literal["function"]
    name: Name


_FORMAT_RULES: dict[str, Any] = {
    "anyOf": [
        variant(type=one_value("text", "json_object")),
        variant(["name"], type=one_value("json_schema"), name=TEXT),
    ]
}


class TextFormat(LenientBody):
    model_config = ConfigDict(json_schema_extra=_FORMAT_RULES)
    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Text | None = None
    definition: Annotated[Schema | None, Field(alias="schema")] = None
    strict: StrictBool | None = None


class TextSettings(LenientBody):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningSettings(LenientBody):
    """How much the model thinks. Thoughts are not returned, whatever summary is requested."""

    harmless: ClassVar[frozenset[str]] = frozenset({"context", "generate_summary", "summary"})
    effort: Effort | None = None


_REQUEST_RULES = if_given(
    ["tool_choice"],
    variant(["tools"], tools=FILLED_LIST),
    tool_choice={"not": one_value("none", "auto", None)},
)


class ResponsesRequest(LenientBody):
    """OpenAI's Responses request."""

    model_config = ConfigDict(json_schema_extra=_REQUEST_RULES)
    harmless: ClassVar[frozenset[str]] = frozenset({"include", "metadata", "store", "stream_options"})
    model: Annotated[str, Field(max_length=128)] = "auto"
    input: Annotated[
        Annotated[InputText | InputItems, one_of("a text or a list of items")],
        BeforeValidator(_without_open_thoughts, InputText | InputItems),
    ]
    instructions: Text | None = None
    stream: StrictBool | None = None
    max_output_tokens: OutputTokens | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20), WHOLE] | None = None
    tools: Annotated[list[ResponsesTool], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_choice: (
        Annotated[Mode | Annotated[ChosenTool, Tag("(object)")], one_of("none, auto, required or a function")] | None
    ) = None
    parallel_tool_calls: StrictBool | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    user: Label | None = None
    """The participant whose request it is, for the bill; else `safety_identifier` is."""
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    drop_params: StrictBool | None = None
    # These need a state that is not kept, so that no caller can have them dropped.
    previous_response_id: Annotated[Any, Neutral(instead=_STATELESS, droppable=False)] = None
    conversation: Annotated[Any, Neutral(instead=_STATELESS, droppable=False)] = None
    background: Annotated[Any, Neutral(False, instead="no response is stored here", droppable=False)] = None
    prompt: Annotated[Any, Neutral(instead="no prompt is stored here", droppable=False)] = None
    max_tool_calls: Annotated[Any, Neutral()] = None
    truncation: Annotated[Any, Neutral("disabled")] = None
    context_management: Annotated[Any, Neutral()] = None
    moderation: Annotated[Any, Neutral()] = None
    prompt_cache_retention: Annotated[Any, Neutral()] = None
    prompt_cache_options: Annotated[Any, Neutral()] = None

    @property
    def items(self) -> list[InputItem]:
        """Return the input as items; a text is the message of a user."""
        if isinstance(self.input, str):
            return [InputItem.model_construct(type="message", role="user", content=self.input)]
        return self.input
