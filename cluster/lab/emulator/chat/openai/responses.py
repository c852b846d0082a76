"""OpenAI's Responses API, stateless, whole and as server-sent events."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cluster.lab.emulator.chat.openai.checks import InvalidRequest
from cluster.lab.emulator.chat.openai.errors import CREATED_S, overload_body
from cluster.lab.emulator.chat.openai.requests import OpenAIGeneration, OpenAIRequest, Prompt, parsed_request
from cluster.lab.emulator.chat.openai.responses_request import check_response_fields, read_input, response_effort
from cluster.lab.emulator.chat.openai.tool_fields import read_format, read_tools
from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.model_rules import rules_of
from cluster.lab.emulator.core.protocol import StreamFrame
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import EmulatedToolCall
from deployments.common.schema_instance import ANY_OBJECT

_INCOMPLETE = {"length": "max_output_tokens", "filtered": "content_filter"}
_Json = dict[str, Any]


class OpenAIResponses(OpenAIGeneration):
    """Responses."""

    def parse(self, body: Mapping[str, Any], key: str | None) -> OpenAIRequest:
        rules = rules_of(str(body.get("model")))
        check_response_fields(body, rules)
        turns, tools = read_input(body), read_tools(body, "flat")
        schema = read_format(body.get("text") or {}, "text.format", "flat")
        if schema is ANY_OBJECT and not any("json" in turn.text.lower() for turn in turns if turn.role != "system"):
            raise InvalidRequest("The input must contain the word 'json' for a json_object.", "input")
        prompt, effort = Prompt(turns=turns, tools=tools, schema=schema), response_effort(body, rules)
        parsed = parsed_request(body, key, prompt, "input", body.get("max_output_tokens"), effort)
        return replace(parsed, echo=_echo(body, effort))

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        return _response(parsed, answer, list(_items(parsed, answer)))

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        for number, (kind, fields, tokens) in enumerate(_events(parsed, answer)):
            data = json.dumps({"type": kind, "sequence_number": number} | fields)
            yield StreamFrame(f"event: {kind}\ndata: {data}\n\n".encode(), tokens)

    def overload(self) -> bytes:
        error = overload_body()["error"]
        data = {
            "type": "error",
            "sequence_number": 0,
            "code": error["code"],
            "message": error["message"],
            "param": None,
        }
        return f"event: error\ndata: {json.dumps(data)}\n\n".encode()


def _echo(body: Mapping[str, Any], effort: Any) -> _Json:
    """Return the fields that a response repeats from its request."""
    return {
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "reasoning": {"effort": effort, "summary": None},
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}} | (body.get("text") or {}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
    }


def _items(parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterator[_Json]:
    """Yield the output: the thought without its text, then a message or tool calls."""
    digest = parsed.content.digest.hex()
    if answer.token_counts.extras.thinking_tokens:
        yield {"id": f"rs_{digest}", "type": "reasoning", "summary": []}
    status = "incomplete" if answer.end in _INCOMPLETE else "completed"
    for call in answer.tool_calls:
        yield _call_item(call) | {"status": status}
    if answer.words and not answer.tool_calls:
        kind, field = ("refusal", "refusal") if answer.end == "refused" else ("output_text", "text")
        part: _Json = {"type": kind, field: answer.text}
        if kind == "output_text":
            part |= {"annotations": [], "logprobs": []}
        yield _message_item(digest) | {"status": status, "content": [part]}


def _message_item(digest: str) -> _Json:
    return {"id": f"msg_{digest}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def _call_item(call: EmulatedToolCall) -> _Json:
    names = {"id": f"fc_{call.number}", "call_id": f"call_{call.number}", "name": call.name}
    return names | {"type": "function_call", "arguments": call.arguments, "status": "in_progress"}


def _response(parsed: ParsedRequest, answer: GeneratedAnswer, output: list[_Json], begun: bool = False) -> _Json:
    reason = None if begun else _INCOMPLETE.get(str(answer.end))
    status = "in_progress" if begun or answer.end is None else "incomplete" if reason else "completed"
    usage = None if begun or answer.unreported_usage or answer.usage_first else _usage(answer.token_counts)
    head: _Json = {
        "id": f"resp_{parsed.content.digest.hex()}",
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": parsed.model,
        "output": output,
        "service_tier": answer.service_tier,
        "usage": usage,
    }
    return head | dict((parsed.echo if isinstance(parsed, OpenAIRequest) else None) or {})


def _events(parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterator[tuple[str, _Json, int]]:
    """Yield the name, the fields and the tokens of each event."""
    begun = _response(parsed, answer, [], begun=True)
    if answer.usage_first:
        begun["usage"] = _usage(answer.token_counts.with_output(0))
    yield "response.created", {"response": begun}, 0
    yield "response.in_progress", {"response": begun}, 0
    output = list(_items(parsed, answer))
    padding = _padding(parsed)
    for index, item in enumerate(output):
        place: _Json = {"output_index": index}
        opened = item if item["type"] == "reasoning" else item | {"status": "in_progress"}
        blanks: _Json = {"function_call": {"arguments": ""}, "message": {"content": []}}
        yield "response.output_item.added", place | {"item": opened | blanks.get(item["type"], {})}, 0
        place |= {"item_id": item["id"]}
        if item["type"] == "function_call":
            yield from _argument_events(answer.tool_calls, item, place, padding)
        elif item["type"] == "message":
            yield from _text_events(answer, item["content"][0], place, padding)
        yield "response.output_item.done", {"output_index": index, "item": item}, 0
    if answer.end is not None:
        ended = _response(parsed, answer, output)
        yield f"response.{ended['status']}", {"response": ended}, 0


def _text_events(
    answer: GeneratedAnswer, part: _Json, place: _Json, padding: Iterator[_Json]
) -> Iterator[tuple[str, _Json, int]]:
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    extra: _Json = {"logprobs": []} if kind == "output_text" else {}
    place = place | {"content_index": 0}
    yield "response.content_part.added", place | {"part": part | {field: ""}}, 0
    for index, word in enumerate(answer.words):
        delta = {"delta": f" {word}" if index else word}
        yield f"response.{kind}.delta", place | delta | extra | next(padding), 1
    yield f"response.{kind}.done", place | {field: part[field]} | extra, 0
    yield "response.content_part.done", place | {"part": part}, 0


def _argument_events(
    calls: tuple[EmulatedToolCall, ...], item: _Json, place: _Json, padding: Iterator[_Json]
) -> Iterator[tuple[str, _Json, int]]:
    call = next(call for call in calls if item["id"].endswith(call.number))
    for piece in call.pieces:
        yield "response.function_call_arguments.delta", place | {"delta": piece} | next(padding), 1
    done = {"arguments": call.arguments, "name": call.name}
    yield "response.function_call_arguments.done", place | done, 0


def _padding(parsed: ParsedRequest) -> Iterator[_Json]:
    rng = random.Random(parsed.content.digest)
    shown = isinstance(parsed, OpenAIRequest) and parsed.obfuscation
    while True:
        yield {"obfuscation": "x" * rng.randint(1, 16)} if shown else {}


def _usage(token_counts: TokenCounts) -> _Json:
    extras, output = token_counts.extras, token_counts.output_tokens
    written = extras.cache_write_5m_tokens + extras.cache_write_1h_tokens
    return {
        "input_tokens": token_counts.input_tokens,
        "input_tokens_details": {"cached_tokens": extras.cached_tokens, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": min(output, extras.thinking_tokens)},
        "total_tokens": token_counts.input_tokens + output,
    }
