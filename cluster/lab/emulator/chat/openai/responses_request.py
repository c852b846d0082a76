"""Check a request to OpenAI's Responses API: its fields, its input items, and the rules of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cluster.lab.emulator.chat.openai.chat_fields import TIERS, VERBOSITIES
from cluster.lab.emulator.chat.openai.chat_messages import DETAILS, read_image_url
from cluster.lab.emulator.chat.openai.checks import (
    MISSING,
    Field,
    InvalidRequest,
    at,
    check_fields,
    only,
    read_choice,
    read_objects,
    read_text,
    required,
)
from cluster.lab.emulator.core.content import Part, RequestMessage
from cluster.lab.emulator.core.model_rules import ModelRules

MAX_CALL_ID: Final = 64
LEAST_OUTPUT_TOKENS: Final = 16
_ANY = Field(kind="any")
FIELDS: Final[dict[str, Field]] = {
    "model": Field(kind="string", nullable=False),
    "input": _ANY,
    "instructions": Field(kind="string"),
    "max_output_tokens": Field(kind="integer", low=LEAST_OUTPUT_TOKENS),
    "max_tool_calls": Field(kind="integer", low=1),
    "stream": Field(kind="boolean"),
    "stream_options": Field(kind="object"),
    "temperature": Field(kind="decimal", low=0, high=2),
    "top_p": Field(kind="decimal", low=0, high=1),
    "top_logprobs": Field(kind="integer", low=0, high=20),
    "tools": _ANY,
    "tool_choice": _ANY,
    "parallel_tool_calls": Field(kind="boolean"),
    "text": Field(kind="object", nullable=False),
    "reasoning": Field(kind="object"),
    "include": Field(kind="array"),
    "service_tier": Field(kind="choice", values=TIERS),
    "store": Field(kind="boolean"),
    "metadata": Field(kind="object"),
    "user": Field(kind="string", nullable=False),
    "safety_identifier": Field(kind="string"),
    "prompt_cache_key": Field(kind="string"),
    "prompt_cache_options": Field(kind="object", nullable=False),
    "prompt_cache_retention": Field(kind="choice", values=("in_memory", "24h")),
    "truncation": Field(kind="choice", values=("auto", "disabled")),
}
"""The fields of a stateless request; the fields of stored conversations are not emulated."""
_ITEMS: Final = ("message", "function_call", "function_call_output", "reasoning")
_PARTS: Final = {"assistant": ("output_text", "refusal")}
_TEXTS: Final = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_WITHOUT_THINKING: Final = ("top_p", "top_logprobs")


def check_response_fields(body: Mapping[str, Any], rules: ModelRules) -> None:
    """Raise InvalidRequest for a field that OpenAI, or this model of it, refuses."""
    if not isinstance(body.get("model"), str):
        raise InvalidRequest("you must provide a model parameter")
    check_fields(body, FIELDS)
    check_fields(
        body.get("text") or {}, {"format": _ANY, "verbosity": Field(kind="choice", values=VERBOSITIES)}, "text"
    )
    reasoning = body.get("reasoning") or {}
    check_fields(
        reasoning, {"effort": _ANY, "summary": Field(kind="string"), "context": _ANY, "mode": _ANY}, "reasoning"
    )
    check_fields(body.get("stream_options") or {}, {"include_obfuscation": Field(kind="boolean")}, "stream_options")
    if rules.thinking is not None:
        _check_thinking(body, rules)


def response_effort(body: Mapping[str, Any], rules: ModelRules) -> Any:
    """Return the effort of a request: the requested one, or the model's default."""
    requested = (body.get("reasoning") or {}).get("effort")
    return requested or (rules.thinking.default if rules.thinking is not None else None)


def _check_thinking(body: Mapping[str, Any], rules: ModelRules) -> None:
    effort, efforts = response_effort(body, rules), rules.thinking.efforts if rules.thinking is not None else ()
    if effort not in efforts:
        raise InvalidRequest(
            f"Unsupported value: '{effort}' is not supported with this model. Supported: {', '.join(efforts)}.",
            "reasoning.effort",
            "unsupported_value",
        )
    if effort == "none":
        return
    refused = [name for name in _WITHOUT_THINKING if body.get(name) is not None]
    if body.get("temperature") not in (None, 1):
        refused.insert(0, "temperature")
    if refused:
        raise InvalidRequest(
            f"Unsupported parameter: '{refused[0]}' is not supported with this model.",
            refused[0],
            "unsupported_parameter",
        )


def read_input(body: Mapping[str, Any]) -> tuple[RequestMessage, ...]:
    """Return the input items as messages; raises InvalidRequest for the first one that OpenAI would refuse."""
    if "input" not in body:
        raise InvalidRequest("The parameter 'input' is missing.", "input", MISSING)
    instructions = body.get("instructions")
    opening = (RequestMessage("system", (instructions,)),) if instructions else ()
    if isinstance(body["input"], str):
        return (*opening, RequestMessage("user", (body["input"],)))
    items = read_objects(body["input"], "input")
    messages = tuple(_item(item, f"input[{index}]") for index, item in enumerate(items))
    _check_results(messages)
    return (*opening, *messages)


def _item(item: Mapping[str, Any], path: str) -> RequestMessage:
    kind = read_choice(item.get("type", "message"), at(path, "type"), _ITEMS)
    if kind == "message":
        only(item, {"type", "role", "content", "id", "status", "phase"}, path)
        roles = ("user", "assistant", "system", "developer")
        role = read_choice(required(item, "role", path), at(path, "role"), roles)
        return RequestMessage(role, tuple(_parts(required(item, "content", path), role, at(path, "content"))))
    if kind == "reasoning":
        only(item, {"type", "id", "summary", "content", "encrypted_content", "status"}, path)
        read_objects(required(item, "summary", path), at(path, "summary"))
        read_text(item.get("encrypted_content") or "", at(path, "encrypted_content"))
        return RequestMessage("assistant", ())
    call_id = read_text(required(item, "call_id", path), at(path, "call_id"), MAX_CALL_ID)
    if kind == "function_call_output":
        only(item, {"type", "call_id", "output", "id", "status"}, path)
        output = tuple(_parts(required(item, "output", path), "tool", at(path, "output")))
        return RequestMessage("tool", output, results=(call_id,))
    only(item, {"type", "call_id", "name", "arguments", "id", "status"}, path)
    if not str(item.get("id", "fc")).startswith("fc"):
        raise InvalidRequest(f"'{at(path, 'id')}' must begin with 'fc'.", at(path, "id"), "invalid_value")
    texts = [read_text(required(item, name, path), at(path, name)) for name in ("name", "arguments")]
    return RequestMessage("assistant", tuple(texts), calls=(call_id,))


def _parts(content: Any, role: str, path: str) -> Iterator[Part]:
    if isinstance(content, str):
        yield content
        return
    for index, part in enumerate(read_objects(content, path)):
        place = f"{path}[{index}]"
        accepted = _PARTS.get(role, ("input_text", "input_image"))
        kind = read_choice(required(part, "type", place), at(place, "type"), accepted)
        if kind == "input_image":
            only(part, {"type", "image_url", "detail", "file_id", "prompt_cache_breakpoint"}, place)
            read_choice(part.get("detail", "auto"), at(place, "detail"), DETAILS)
            yield read_image_url(required(part, "image_url", place), at(place, "image_url"))
            continue
        only(part, {"type", _TEXTS[kind], "annotations", "logprobs", "prompt_cache_breakpoint"}, place)
        yield read_text(required(part, _TEXTS[kind], place), at(place, _TEXTS[kind]))


def _check_results(messages: Sequence[RequestMessage]) -> None:
    """Refuse a result without its call, and a call without its result."""
    open_calls: list[str] = []
    for message in messages:
        open_calls += message.calls
        for result in message.results:
            if result not in open_calls:
                raise InvalidRequest(f"No tool call found for function call output with call_id {result}.", "input")
            open_calls.remove(result)
    if open_calls:
        raise InvalidRequest(f"No tool output found for function call {open_calls[0]}.", "input")
