"""Schemas of the responses to OpenAI's clients, for the OpenAPI document; tests compare each response with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from routing.models import Tier

Count = Annotated[int, Field(ge=0)]


class ResponseBody(BaseModel):
    """A response, or a part of one. It has no other fields than these."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ErrorFacts(BaseModel):
    """OpenAI's error. Some errors have more facts: a budget's figures, a successor, the vendor's reason."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    message: str
    type: str
    code: str
    param: str | None
    """The path of the wrong field, such as `messages.3.tool_call_id`."""


class ErrorEnvelope(ResponseBody):
    error: ErrorFacts


class RoutingFacts(ResponseBody):
    """Rayroom's addition to each answer: the routing decision, and the cost of all attempts."""

    tier: Tier
    score: float
    threshold: float
    reasons: list[str]
    cost_nanousd: Count
    attempts: Annotated[int, Field(ge=1)]
    simulated: bool


class PromptTokens(ResponseBody):
    cached_tokens: Count


class CompletionTokens(ResponseBody):
    reasoning_tokens: Count


class CompletionUsage(ResponseBody):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptTokens
    completion_tokens_details: CompletionTokens


class AnsweredFunction(ResponseBody):
    name: str
    arguments: str
    """JSON text as the model wrote it, which may be invalid."""


class AnsweredCall(ResponseBody):
    id: str
    """Send it back unchanged with the result: it may carry the vendor's signature."""
    type: Literal["function"]
    function: AnsweredFunction


class AnsweredMessage(ResponseBody):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[AnsweredCall] = Field(default_factory=list)


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ChatChoice(ResponseBody):
    index: Literal[0]
    message: AnsweredMessage
    finish_reason: FinishReason
    logprobs: dict[str, Any] | None


class ChatHead(ResponseBody):
    id: str
    created: Count
    model: str
    system_fingerprint: None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None


class ChatCompletion(ChatHead):
    """The whole answer to a chat."""

    object: Literal["chat.completion"]
    choices: Annotated[list[ChatChoice], Field(min_length=1, max_length=1)]
    usage: CompletionUsage | None
    rayroom: RoutingFacts


class FunctionDelta(ResponseBody):
    name: str | None = None
    arguments: str


class CallDelta(ResponseBody):
    index: Count
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class MessageDelta(ResponseBody):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChunkChoice(ResponseBody):
    index: Literal[0]
    delta: MessageDelta
    finish_reason: FinishReason | None
    logprobs: dict[str, Any] | None


class ChatCompletionChunk(ChatHead):
    """The data of each server-sent event of a streamed answer; the last event is `[DONE]`."""

    object: Literal["chat.completion.chunk"]
    choices: Annotated[list[ChunkChoice], Field(max_length=1)]
    usage: CompletionUsage | None = None
    rayroom: RoutingFacts | None = None


class EmbeddingUsage(ResponseBody):
    prompt_tokens: Count
    total_tokens: Count


class EmbeddingRow(ResponseBody):
    object: Literal["embedding"]
    index: Count
    embedding: list[float] | str
    """Numbers, or base64 of little-endian 32-bit floats."""


class EmbeddingCost(ResponseBody):
    cost_nanousd: Count
    simulated: bool


class EmbeddingResponse(ResponseBody):
    object: Literal["list"]
    model: str
    data: list[EmbeddingRow]
    usage: EmbeddingUsage
    rayroom: EmbeddingCost


class ListedModel(ResponseBody):
    id: str
    object: Literal["model"]
    created: Count
    owned_by: str
    simulated: bool | None = None


class ModelList(ResponseBody):
    object: Literal["list"]
    data: list[ListedModel]
