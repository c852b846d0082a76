"""The body of a request to Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pybase64

from deployments.providers.anthropic.cache_control import add_breakpoints
from deployments.providers.anthropic.schemas import accepted_schema
from deployments.providers.anthropic.thinking import ConversationDigest, signed_blocks
from deployments.providers.base import output_limit, system_text
from deployments.providers.call_ids import accepted_call_id
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import ProviderRefused
from routing.models import ModelRequest

Json = dict[str, Any]
LONGEST_CALL_ID: Final = 64
"""Anthropic publishes a pattern of letters, digits, `_` and `-`, but no length; Bedrock allows 64 characters."""
LEAST_BUDGET_TOKENS: Final = 1_024
OPENING: Final = "(start)"
"""The user's message before a conversation that the assistant begins: the first one must be the user's."""
INVALID_JSON: Final = "INVALID_JSON"
"""The key under which Anthropic's page on fine-grained tool streaming wraps arguments that are not JSON."""
_TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only"}


def message_body(model: Model, request: ModelRequest) -> Json:
    """Return the body of a request. Version 2026-10-21 of the API has no sampling parameters, so none are sent.

    Raises ProviderRefused for a format of the answer that the API does not have.
    """
    options = request.options
    # A text of blanks is refused.
    system, messages = system_text(request).strip(), _messages(model, request)
    if not messages:
        # The API needs a message. A chat of system messages alone is sent as the user's.
        system, messages = "", [{"role": "user", "content": [_text(system)]}] if system else []
    body: Json = {"model": model.vendor_name, "max_tokens": _limit(model, request), "messages": messages}
    if system:
        body["system"] = system
    if options.stop:
        body["stop_sequences"] = list(options.stop)
    if options.service_tier in _TIERS:
        body["service_tier"] = _TIERS[options.service_tier]
    body |= _tools(model, request) | _thinking(model, request)
    output = _output_config(model, request)
    return add_breakpoints(body | ({"output_config": output} if output else {}), model.capabilities, request)


def _limit(model: Model, request: ModelRequest) -> int:
    """Return the output limit, which holds thinking too; a budget of thinking must stay below it."""
    if not _has_budget(model, request):
        return output_limit(model, request)
    return min(request.max_output_tokens + _budget(request), model.max_output_tokens)


def _has_budget(model: Model, request: ModelRequest) -> bool:
    thinking = model.capabilities.thinking
    return thinking is not None and thinking.unit == "tokens" and request.effort not in (None, "none")


def _budget(request: ModelRequest) -> int:
    return max(request.thinking_tokens, LEAST_BUDGET_TOKENS)


def _thinking(model: Model, request: ModelRequest) -> Json:
    thinking = model.capabilities.thinking
    if request.effort == "none" and thinking is not None:
        return {"thinking": {"type": thinking.off}}
    if _has_budget(model, request):
        return {"thinking": {"type": "enabled", "budget_tokens": _budget(request)}}
    return {}


def _output_config(model: Model, request: ModelRequest) -> Json:
    config: Json = {}
    if request.effort not in (None, "none") and not _has_budget(model, request):
        config["effort"] = request.effort
    requested = request.options.response_format
    if requested is not None and requested.type != "text":
        config["format"] = _format(requested)
    return config


def _format(requested: ResponseFormat) -> Json:
    if requested.type != "json_schema" or requested.schema is None:
        raise ProviderRefused("Anthropic's models answer with JSON of a given schema only.", "response_format")
    return {"type": "json_schema", "schema": accepted_schema(requested.schema, requested.description)}


def _tools(model: Model, request: ModelRequest) -> Json:
    options = request.options
    if not options.tools:
        # The API refuses calls and results in the messages where no tool is defined.
        called = dict.fromkeys(call.name for message in request.messages for call in message.tool_calls)
        undefined = [{"name": name, "input_schema": {"type": "object"}} for name in called]
        return {"tools": undefined, "tool_choice": {"type": "none"}} if undefined else {}
    strict = model.capabilities.accepts("json_schema")
    tools: Json = {"tools": [_tool(tool, strict) for tool in options.tools]}
    choice = _choice(options)
    return tools | ({"tool_choice": choice} if choice else {})


def _tool(tool: Tool, strict: bool) -> Json:
    schema: Mapping[str, Any] = {"type": "object"} | dict(tool.parameters or {})
    fields: Json = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if tool.strict and strict:
        return fields | {"input_schema": accepted_schema(schema), "strict": True}
    return fields | {"input_schema": schema}


def _choice(options: ChatOptions) -> Json:
    choice = options.tool_choice
    if choice is None and options.parallel_tool_calls is not False:
        return {}
    chosen = _chosen(choice or ToolChoice(mode="auto"))
    if options.parallel_tool_calls is False and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    return chosen


def _chosen(choice: ToolChoice) -> Json:
    if choice.mode == "function":
        return {"type": "tool", "name": choice.name}
    return {"type": "any" if choice.mode == "required" else choice.mode}


def _messages(model: Model, request: ModelRequest) -> list[Json]:
    """Return the conversation, in which user and assistant take turns and the user begins."""
    digest = ConversationDigest(system_text(request), request.options.tools)
    signed = any(call.signature for message in request.messages for call in message.tool_calls)
    turns: list[Json] = []
    for message in request.messages:
        conversation = digest.value if signed and message.tool_calls else ""
        if message.role != "system":
            _add(turns, "assistant" if message.role == "assistant" else "user", _blocks(model, message, conversation))
            if signed:
                digest.add(message)
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [_text(OPENING)]})
    return turns


def _add(turns: list[Json], role: str, blocks: list[Json]) -> None:
    if not blocks:
        # A message without content is refused.
        return
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": blocks})
        return
    content = turns[-1]["content"] + blocks
    # The results of tools come before the other blocks of the message.
    turns[-1]["content"] = sorted(content, key=lambda block: block["type"] != "tool_result")


def _blocks(model: Model, message: Message, conversation: str) -> list[Json]:
    if message.role == "tool":
        return [_result(message)]
    said = [_block(part) for part in message.content if _has_content(part)]
    thoughts, calls = list[Json](), list[Json]()
    for position, call in enumerate(message.tool_calls):
        blocks = signed_blocks(call.signature, model.vendor_name, conversation)
        (thoughts if position == 0 else calls).extend(blocks)
        calls.append(_call(call))
    return [*thoughts, *said, *calls]


def _has_content(part: str | Image) -> bool:
    return not isinstance(part, str) or bool(part.strip())


def _result(message: Message) -> Json:
    result: Json = {
        "type": "tool_result",
        "tool_use_id": accepted_call_id(message.tool_call_id or "", LONGEST_CALL_ID),
    }
    parts = [part for part in message.content if _has_content(part)]
    if any(isinstance(part, Image) for part in parts):
        return result | {"content": [_block(part) for part in parts]}
    return result | ({"content": message.text} if parts else {})


def _call(call: ToolCall) -> Json:
    call_id = accepted_call_id(call.call_id, LONGEST_CALL_ID)
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": call_input(call.arguments)}


def call_input(arguments: str) -> Json:
    """Return a call's arguments as the object that the API takes; text that is none is wrapped."""
    if not arguments.strip():
        return {}
    try:
        parsed = json.loads(arguments, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return {INVALID_JSON: arguments}
    return parsed if isinstance(parsed, dict) else {INVALID_JSON: arguments}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _block(part: str | Image) -> Json:
    if isinstance(part, str):
        return _text(part)
    data = pybase64.b64encode_as_string(part.data)
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": data}}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
