"""The configuration of a request to Gemini: its limit, thinking, tools, format and sampling."""

from __future__ import annotations

from typing import Any, Final

from google.genai import types

from deployments.providers.base import output_limit, system_text
from routing.catalogue import Model
from routing.chat import ChatOptions, ResponseFormat, Tool, ToolChoice
from routing.models import ModelRequest

Json = dict[str, Any]
_PLAIN: Final = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
"""Options that have the same name and the same form in both."""
_SEEDS: Final = 2**31
"""Gemini's seed is an integer of 32 bits with a sign; OpenAI's has 64."""
_TIERS: Final = {"flex": types.ServiceTier.FLEX, "priority": types.ServiceTier.PRIORITY}
_MODES: Final = {
    "auto": types.FunctionCallingConfigMode.AUTO,
    "none": types.FunctionCallingConfigMode.NONE,
    "required": types.FunctionCallingConfigMode.ANY,
    "function": types.FunctionCallingConfigMode.ANY,
}


def request_config(model: Model, request: ModelRequest) -> types.GenerateContentConfig:
    """Return the configuration. An option that was not given is not sent."""
    options = request.options
    fields = _sampling(options) | _format(options.response_format) | _tools(options)
    return types.GenerateContentConfig(
        system_instruction=system_text(request) or None,
        max_output_tokens=output_limit(model, request),
        thinking_config=_thinking(model, request),
        service_tier=_TIERS.get(options.service_tier or "default"),
        # The router uses no function calls and makes one request per attempt.
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        **fields,
    )


def _thinking(model: Model, request: ModelRequest) -> types.ThinkingConfig | None:
    """Return the level or the budget of thinking: a model takes one of them and refuses the other."""
    thinking = model.capabilities.thinking
    if request.effort is None:
        return None
    if thinking is not None and thinking.unit == "tokens":
        return types.ThinkingConfig(thinking_budget=thinking.tokens.get(request.effort, request.thinking_tokens))
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(request.effort.upper()))


def _sampling(options: ChatOptions) -> Json:
    given: Json = {name: value for name in _PLAIN if (value := getattr(options, name)) is not None}
    if options.seed is not None:
        given["seed"] = options.seed % _SEEDS
    if options.stop:
        given["stop_sequences"] = list(options.stop)
    if options.logprobs:
        given |= {"response_logprobs": True, "logprobs": options.top_logprobs or None}
    return given


def _format(requested: ResponseFormat | None) -> Json:
    if requested is None or requested.type == "text":
        return {}
    given: Json = {"response_mime_type": "application/json"}
    if requested.type == "json_schema" and requested.schema is not None:
        given["response_json_schema"] = dict(requested.schema)
    return given


def _tools(options: ChatOptions) -> Json:
    if not options.tools:
        return {}
    given: Json = {"tools": [types.Tool(function_declarations=[_declaration(tool) for tool in options.tools])]}
    if options.tool_choice is not None:
        given["tool_config"] = types.ToolConfig(function_calling_config=_choice(options.tool_choice))
    return given


def _declaration(tool: Tool) -> types.FunctionDeclaration:
    parameters = dict(tool.parameters) if tool.parameters else None
    return types.FunctionDeclaration(name=tool.name, description=tool.description, parameters_json_schema=parameters)


def _choice(choice: ToolChoice) -> types.FunctionCallingConfig:
    names = [choice.name] if choice.mode == "function" and choice.name is not None else None
    return types.FunctionCallingConfig(mode=_MODES[choice.mode], allowed_function_names=names)
