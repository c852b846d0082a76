"""The fields of a chat completion that OpenAI accepts, in general and from each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cluster.lab.emulator.chat.openai.checks import Field, InvalidRequest, check_fields
from cluster.lab.emulator.core.model_rules import ModelRules

TIERS: Final = ("auto", "default", "flex", "priority", "fast")
VERBOSITIES: Final = ("low", "medium", "high")
MAX_STOPS: Final = 4
TOP_LOGPROBS_OF_THINKERS: Final = 5
_ANY = Field(kind="any")
FIELDS: Final[dict[str, Field]] = {
    "model": Field(kind="string", nullable=False),
    "messages": _ANY,
    "n": Field(kind="integer", low=1, high=8),
    "stream": Field(kind="boolean"),
    "stream_options": Field(kind="object"),
    "max_tokens": Field(kind="integer", low=1),
    "max_completion_tokens": Field(kind="integer", low=1),
    "stop": _ANY,
    "temperature": Field(kind="decimal", low=0, high=2),
    "top_p": Field(kind="decimal", low=0, high=1),
    "frequency_penalty": Field(kind="decimal", low=-2, high=2),
    "presence_penalty": Field(kind="decimal", low=-2, high=2),
    "logit_bias": Field(kind="object"),
    "logprobs": Field(kind="boolean"),
    "top_logprobs": Field(kind="integer", low=0, high=20),
    "seed": Field(kind="integer"),
    "tools": _ANY,
    "tool_choice": _ANY,
    "parallel_tool_calls": Field(kind="boolean", nullable=False),
    "response_format": Field(kind="object", nullable=False),
    "reasoning_effort": _ANY,
    "verbosity": Field(kind="choice", values=VERBOSITIES),
    "service_tier": Field(kind="choice", values=TIERS),
    "user": Field(kind="string", nullable=False),
    "safety_identifier": Field(kind="string"),
    "metadata": Field(kind="object"),
    "store": Field(kind="boolean"),
    "prediction": Field(kind="object"),
    "moderation": Field(kind="object"),
    "prompt_cache_key": Field(kind="string"),
    "prompt_cache_options": Field(kind="object", nullable=False),
    "prompt_cache_retention": Field(kind="choice", values=("in_memory", "24h")),
    "functions": _ANY,
    "function_call": _ANY,
    "audio": Field(kind="object"),
    "modalities": Field(kind="array"),
    "web_search_options": Field(kind="object", nullable=False),
}
_OF_THE_OLD: Final = ("audio", "modalities", "web_search_options")
"""Models that think do not know these fields at all."""
_NEVER: Final = ("stop", "max_tokens", "logit_bias", "prediction")
"""Models that think refuse these at every effort."""
_WITHOUT_THINKING: Final = ("top_p", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs")
"""Models that think accept these at the effort `none` alone."""


def check_chat_fields(body: Mapping[str, Any], rules: ModelRules) -> None:
    """Raise InvalidRequest for a field that OpenAI, or this model of it, refuses. A model without rules takes all."""
    if not isinstance(body.get("model"), str):
        raise InvalidRequest("you must provide a model parameter")
    thinks = rules.thinking is not None
    fields = {name: field for name, field in FIELDS.items() if not (thinks and name in _OF_THE_OLD)}
    check_fields(body, fields)
    _check_combinations(body)
    if rules.name:
        for fault in _faults_of_thinkers(body, rules) if thinks else _faults_of_others(body):
            raise fault
        _check_output_limit(body, rules)


def chat_effort(body: Mapping[str, Any], rules: ModelRules) -> Any:
    """Return the effort of a request to a model that thinks: the requested one, or the default."""
    return body.get("reasoning_effort") or (rules.thinking.default if rules.thinking is not None else None)


def _check_combinations(body: Mapping[str, Any]) -> None:
    if body.get("stream_options") is not None:
        if not body.get("stream"):
            raise InvalidRequest("'stream_options' needs 'stream' beside it.", "stream_options")
        switches = {name: Field(kind="boolean") for name in ("include_usage", "include_obfuscation")}
        check_fields(body["stream_options"], switches, "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise InvalidRequest("'top_logprobs' needs 'logprobs' beside it.", "top_logprobs")
    stop = body.get("stop")
    if not isinstance(stop, str | list | None) or (
        isinstance(stop, list) and not all(isinstance(s, str) for s in stop)
    ):
        raise InvalidRequest("'stop' must be a string or an array of strings.", "stop", "invalid_type")
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        raise InvalidRequest(f"'stop' has more than {MAX_STOPS} items.", "stop", "array_above_max_length")
    if body.get("metadata") is not None:
        check_fields(
            body["metadata"], dict.fromkeys(body["metadata"], Field(kind="string", nullable=False)), "metadata"
        )


def _faults_of_thinkers(body: Mapping[str, Any], rules: ModelRules) -> Iterator[InvalidRequest]:
    effort, efforts = chat_effort(body, rules), chat_efforts(rules)
    if effort not in efforts:
        yield _unsupported_value("reasoning_effort", effort, efforts)
    for name in _NEVER:
        if body.get(name) is not None:
            yield _unsupported(name)
    if body.get("tools") is not None and (effort != "none" or "no_chat_tools" in rules.flags):
        yield InvalidRequest(
            f"{rules.name} takes function tools in /v1/chat/completions with the reasoning_effort 'none' alone; use"
            " /v1/responses.",
            "reasoning_effort",
        )
    if effort == "none":
        top = body.get("top_logprobs") or 0
        if top > TOP_LOGPROBS_OF_THINKERS:
            yield InvalidRequest(f"'top_logprobs' must not be above {TOP_LOGPROBS_OF_THINKERS}.", "top_logprobs")
        return
    if body.get("temperature") not in (None, 1):
        yield _unsupported_value("temperature", body["temperature"], ("1",))
    for name in _WITHOUT_THINKING:
        if body.get(name) is not None:
            yield _unsupported(name)


def _faults_of_others(body: Mapping[str, Any]) -> Iterator[InvalidRequest]:
    if body.get("reasoning_effort") is not None:
        yield InvalidRequest("Unrecognized request argument supplied: reasoning_effort")
    if body.get("verbosity") not in (None, "medium"):
        yield _unsupported_value("verbosity", body["verbosity"], ("medium",))
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield InvalidRequest(
            "'max_tokens' and 'max_completion_tokens' exclude each other.", None, "invalid_parameter_combination"
        )


def chat_efforts(rules: ModelRules) -> tuple[str, ...]:
    """Return the efforts that chat completions accept: `max` is for the Responses API."""
    return tuple(effort for effort in (rules.thinking.efforts if rules.thinking else ()) if effort != "max")


def _check_output_limit(body: Mapping[str, Any], rules: ModelRules) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        limit, most = body.get(name), rules.max_output_tokens
        if limit is not None and most is not None and limit > most:
            problem = f"{name} is too large: {limit}. The model takes at most {most}."
            raise InvalidRequest(problem, name, "invalid_value")


def _unsupported(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
    )


def _unsupported_value(name: str, value: Any, supported: tuple[str, ...]) -> InvalidRequest:
    return InvalidRequest(
        f"Unsupported value: '{name}' does not support {value!r} with this model. Supported: {', '.join(supported)}.",
        name,
        "unsupported_value",
    )
