"""Schemas of a response and its events, as clients of OpenAI's Responses API parse them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from deployments.api.openapi.responses import Count, ErrorFacts, ResponseBody, RoutingFacts


class OutputPart(ResponseBody):
    """A text or a refusal."""

    type: Literal["output_text", "refusal"]
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[dict[str, Any]] = Field(default_factory=list)


class OutputItem(ResponseBody):
    """A message or a function call."""

    id: str
    type: Literal["message", "function_call"]
    status: Literal["in_progress", "completed", "incomplete"]
    role: Literal["assistant"] | None = None
    content: list[OutputPart] | None = None
    call_id: str | None = None
    """Send it back unchanged with the output: it may carry the vendor's signature."""
    name: str | None = None
    arguments: str | None = None


class IncompleteDetails(ResponseBody):
    reason: Literal["max_output_tokens", "content_filter"]


class InputTokens(ResponseBody):
    cached_tokens: Count
    cache_write_tokens: Count


class OutputTokens(ResponseBody):
    reasoning_tokens: Count


class ResponseTokens(ResponseBody):
    input_tokens: Count
    input_tokens_details: InputTokens
    output_tokens: Count
    output_tokens_details: OutputTokens
    total_tokens: Count


class ResponseFailure(ResponseBody):
    code: Literal["server_error"]
    message: str


class ResponseObject(ResponseBody):
    """A response. It is not stored, and repeats the request's settings."""

    id: str
    object: Literal["response"]
    created_at: Count
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, Any]
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    store: Literal[False]
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_p: float | None
    truncation: Literal["disabled"]
    usage: ResponseTokens | None
    rayroom: RoutingFacts | ErrorFacts | None = None


class ResponseEvent(BaseModel):
    """The data of each server-sent event of a streamed response; its other fields depend on its type."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(pattern=r"^response\.")]
    sequence_number: Count
