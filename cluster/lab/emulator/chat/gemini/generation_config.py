"""Check the generation config of a request by the rules of its model: limits, sampling, format and thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from cluster.lab.emulator.chat.gemini.proto_json import Fields, InvalidArgument
from cluster.lab.emulator.chat.gemini.tools import check_schema
from cluster.lab.emulator.core.model_rules import EffortLevel, ModelRules, ThinkingRule
from cluster.lab.emulator.core.tools import OfferedTools
from deployments.common.schema_instance import ANY_OBJECT

MAX_STOPS: Final = 5
MAX_LOGPROBS: Final = 20
_MIME_TYPES: Final = ("text/plain", "application/json", "text/x.enum")
_BOUNDS: Final = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (1, 1_000),
    "candidate_count": (1, 8),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "logprobs": (0, MAX_LOGPROBS),
}


def check_generation_config(config: Fields, tools: OfferedTools, rules: ModelRules, model: str) -> None:
    """Raise InvalidArgument for a setting that Gemini, or this model of it, refuses. Custom sampling is ignored."""
    for name, (low, high) in _BOUNDS.items():
        if name in config and not low <= config[name] <= high:
            raise _at(name, f"{name} must be in the range [{low}, {high}].")
    _check_output_limit(config, rules)
    if len(config.get("stop_sequences") or ()) > MAX_STOPS:
        raise _at("stop_sequences", f"at most {MAX_STOPS} stop sequences are accepted.")
    if "no_penalties" in rules.flags and any(config.get(f"{name}_penalty") for name in ("presence", "frequency")):
        raise InvalidArgument("Penalty is not enabled for this model")
    if config.get("response_logprobs") and "no_logprobs" in rules.flags:
        raise InvalidArgument(f"Logprobs is not enabled for models/{model}")
    if "logprobs" in config and not config.get("response_logprobs"):
        raise _at("logprobs", "logprobs needs response_logprobs to be true.")
    _check_format(config, tools, rules)
    _check_thinking(config.get("thinking_config") or {}, rules)


def read_schema(config: Fields) -> Mapping[str, Any] | None:
    """Return the JSON Schema of the answer, ANY_OBJECT for any JSON, or None for text."""
    if config.get("response_mime_type") != "application/json":
        return None
    schema = config.get("response_json_schema", config.get("response_schema"))
    return ANY_OBJECT if schema is None else cast(Mapping[str, Any], schema)


def thinking_tokens(config: Fields, rules: ModelRules) -> int:
    """Return the tokens that the model spends thinking: as its level says, or up to its budget."""
    rule, asked = rules.thinking, config.get("thinking_config") or {}
    if rule is None:
        return 0
    if rule.budget is None:
        level = asked.get("thinking_level")
        return rules.thinking_tokens(None if level is None else cast(EffortLevel, level.lower()))
    budget: int | None = asked.get("thinking_budget")
    if budget is None or budget < 0:
        # A budget of -1 lets the model choose.
        return rules.thinking_tokens(None)
    return min(budget, max(rule.tokens.values()))


def _check_output_limit(config: Fields, rules: ModelRules) -> None:
    limit, most = config.get("max_output_tokens"), rules.max_output_tokens
    if limit is not None and (limit < 1 or (most is not None and limit > most)):
        raise InvalidArgument(
            f"Unable to submit request because it has a maxOutputTokens value of {limit} but the supported range is"
            f" from 1 (inclusive) to {(most or 2**31) + 1} (exclusive)."
        )


def _check_format(config: Fields, tools: OfferedTools, rules: ModelRules) -> None:
    kind = config.get("response_mime_type") or "text/plain"
    if kind not in _MIME_TYPES:
        raise _at("response_mime_type", f"allowed mimetypes are {', '.join(_MIME_TYPES)}.")
    schemas = [name for name in ("response_schema", "response_json_schema") if name in config]
    if len(schemas) > 1:
        raise InvalidArgument("response_schema and response_json_schema must not be set together.")
    if schemas and kind == "text/plain":
        raise _at("response_schema", "only application/json and text/x.enum mimetypes may have a response schema.")
    if "no_json_with_tools" in rules.flags and tools.tools and kind == "application/json":
        raise InvalidArgument("Function calling with a response mime type: 'application/json' is unsupported")
    for name in schemas:
        check_schema(config[name], f"generation_config.{name}")


def _check_thinking(config: Fields, rules: ModelRules) -> None:
    level, budget, rule = config.get("thinking_level"), config.get("thinking_budget"), rules.thinking
    if level is not None and budget is not None:
        raise InvalidArgument("You can only set only one of thinking budget and thinking level.")
    if rule is None:
        return
    if level is not None and (rule.budget is not None or level.lower() not in rule.efforts):
        raise InvalidArgument(f"Thinking level {level} is not supported for this model.")
    if budget is not None:
        _check_budget(budget, rule)


def _check_budget(budget: int, rule: ThinkingRule) -> None:
    if rule.budget is None:
        raise InvalidArgument("Thinking budget is not supported for this model; set a thinking level.")
    low, high = rule.budget
    if budget not in (-1, 0) and not low <= budget <= high:
        raise InvalidArgument(
            f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
        )


def _at(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"* GenerateContentRequest.generation_config.{field}: {problem}\n")
