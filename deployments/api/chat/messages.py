"""Convert the messages and options of a chat completion request to those of the router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deployments.api.call_ids import split_call_id
from deployments.api.chat.schemas import ChatMessage, ChatRequest, Part
from deployments.api.chat.tool_schemas import CallInHistory, FormatOfAnswer, FunctionDefinition, NamedTool
from deployments.api.inline_images import inline_image
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import BadInput

MAX_IMAGES = 8


def to_messages(messages: Sequence[ChatMessage], max_px: int) -> tuple[Message, ...]:
    """Convert the messages of a chat; raises BadInput for an image that is not inline, or for too many."""
    found = tuple(_to_message(message, f"messages.{i}.content", max_px) for i, message in enumerate(messages))
    if sum(len(message.images) for message in found) > MAX_IMAGES:
        raise BadInput(f"A request may hold {MAX_IMAGES} images at most.", "messages")
    return found


def _to_message(message: ChatMessage, where: str, max_px: int) -> Message:
    role: Any = "system" if message.role == "developer" else message.role
    content = tuple(_to_part(part, f"{where}.{i}", max_px) for i, part in enumerate(message.parts))
    if not content and message.refusal:
        content = (message.refusal,)
    return Message(
        role=role,
        content=content,
        tool_calls=tuple(map(_to_call, message.tool_calls or ())),
        thoughts=message.thoughts,
        tool_call_id=None if message.tool_call_id is None else split_call_id(message.tool_call_id)[0],
    )


def _to_part(part: Part, where: str, max_px: int) -> str | Image:
    if part.image_url is None:
        return part.words
    image = inline_image(part.image_url.url, f"{where}.image_url.url", max_px)
    return replace(image, detail=part.image_url.detail or "auto")


def _to_call(call: CallInHistory) -> ToolCall:
    call_id, signature = split_call_id(call.id)
    return ToolCall(
        call_id=call_id, name=call.function.name, arguments=call.function.arguments or "{}", signature=signature
    )


def to_options(request: ChatRequest) -> ChatOptions:
    """Return the options that the caller gave; one without any content counts as not given."""
    return ChatOptions(
        tools=tuple(_to_tool(tool.function) for tool in request.tools or ()),
        tool_choice=_to_choice(request),
        parallel_tool_calls=False if request.tools and request.parallel_tool_calls is False else None,
        response_format=_to_format(request.response_format),
        temperature=request.temperature,
        top_p=request.top_p,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        logit_bias=request.logit_bias or None,
        logprobs=request.logprobs or None,
        top_logprobs=request.top_logprobs or None,
        reasoning_effort=request.reasoning_effort,
        verbosity=request.verbosity,
        service_tier=request.service_tier,
    )


def _to_tool(function: FunctionDefinition) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=function.strict,
    )


def _to_choice(request: ChatRequest) -> ToolChoice | None:
    choice = request.tool_choice
    if choice is None or choice == "auto" or not request.tools:
        return None
    if isinstance(choice, NamedTool):
        return ToolChoice(mode="function", name=choice.function.name)
    return ToolChoice(mode=choice)


def _to_format(wanted: FormatOfAnswer | None) -> ResponseFormat | None:
    if wanted is None or wanted.type == "text":
        return None
    described = wanted.json_schema if wanted.type == "json_schema" else None
    if described is None:
        return ResponseFormat(type=wanted.type)
    return ResponseFormat(
        type=wanted.type,
        name=described.name,
        description=described.description,
        schema=described.definition,
        strict=described.strict,
    )
