"""OpenAI's Responses request, as far as it needs no stored state. Each has a chat completion that means the same."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, Tag

from deployments.api.body import MAX_IMAGE_CHARS, Label, LenientBody, Text, Words, one_of
from deployments.api.chat_schemas import MAX_MESSAGES, MAX_PARTS, Mode, OutputTokens
from deployments.api.openai_params import Neutral
from deployments.api.tool_schemas import MAX_ID_CHARS, MAX_TOOLS, Name, Schema
from routing.chat import Detail, Effort

_STATELESS = "send the whole conversation as `input`: no response is stored here"


class InputPart(LenientBody):
    """A part of a message, or of a tool's output."""

    harmless: ClassVar[frozenset[str]] = frozenset({"annotations", "file_data", "file_url", "filename", "logprobs"})
    type: Literal["input_text", "output_text", "refusal", "input_image"]
    text: Text | None = None
    refusal: Text | None = None
    image_url: Annotated[str, Field(max_length=MAX_IMAGE_CHARS)] | None = None
    detail: Detail | None = None
    file_id: Annotated[Any, Neutral(instead="send the image inline in image_url")] = None


InputParts = Annotated[list[InputPart], Field(fail_fast=True, max_length=MAX_PARTS), Tag("(list)")]
InputContent = Annotated[Words | InputParts, one_of("a text or a list of parts")]


def _without_thoughts(value: Any) -> Any:
    """Return the items with the content of reasoning removed: it is ignored, and each vendor has a form of its own."""
    if not isinstance(value, list):
        return value
    return [{"type": "reasoning"} if isinstance(one, dict) and one.get("type") == "reasoning" else one for one in value]


class InputItem(LenientBody):
    """A message, a function call or its output; a message may leave its type out."""

    harmless: ClassVar[frozenset[str]] = frozenset({"id", "namespace", "phase", "status"})
    type: Literal["message", "function_call", "function_call_output", "reasoning", "item_reference"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: InputContent | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    arguments: Text | None = None
    output: InputContent | None = None


InputItems = Annotated[list[InputItem], Field(fail_fast=True, min_length=1, max_length=2 * MAX_MESSAGES), Tag("(list)")]


class ResponsesTool(LenientBody):
    """A function; the vendor's own tools are not passed on."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: Schema | None = None
    strict: bool | None = None
    defer_loading: Annotated[Any, Neutral(False)] = None


class ChosenTool(LenientBody):
    type: Literal["function"]
    name: Name


class TextFormat(LenientBody):
    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Text | None = None
    definition: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextSettings(LenientBody):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningSettings(LenientBody):
    """How much the model thinks. Thoughts are not returned, whatever summary is requested."""

    harmless: ClassVar[frozenset[str]] = frozenset({"context", "generate_summary", "summary"})
    effort: Effort | None = None


class ResponsesRequest(LenientBody):
    """OpenAI's Responses request."""

    harmless: ClassVar[frozenset[str]] = frozenset({"include", "metadata", "store", "stream_options"})
    model: Annotated[str, Field(max_length=128)] = "auto"
    input: Annotated[
        Annotated[Words | InputItems, one_of("a text or a list of items")],
        BeforeValidator(_without_thoughts, Text | InputItems),
    ]
    instructions: Text | None = None
    stream: bool | None = None
    max_output_tokens: OutputTokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[ResponsesTool], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = None
    tool_choice: (
        Annotated[Mode | Annotated[ChosenTool, Tag("(object)")], one_of("none, auto, required or a function")] | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    user: Label | None = None
    """The participant whose request it is, for the bill; else `safety_identifier` is."""
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    drop_params: bool | None = None
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
