"""OpenAI's chat completions, whole and as server-sent events."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cluster.lab.emulator.chat.openai.chat_fields import chat_effort, check_chat_fields
from cluster.lab.emulator.chat.openai.chat_messages import read_messages
from cluster.lab.emulator.chat.openai.checks import InvalidRequest
from cluster.lab.emulator.chat.openai.errors import CREATED_S, data_event
from cluster.lab.emulator.chat.openai.requests import OpenAIGeneration, OpenAIRequest, Prompt, parsed_request
from cluster.lab.emulator.chat.openai.tool_fields import read_format, read_tools
from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.model_rules import rules_of
from cluster.lab.emulator.core.protocol import StreamFrame
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import EmulatedToolCall
from deployments.common.schema_instance import ANY_OBJECT

_FINISH = {
    "stop": "stop",
    "length": "length",
    "refused": "stop",
    "filtered": "content_filter",
    "tool_calls": "tool_calls",
}
_LOGPROB = -0.1
"""The log probability of every emulated token."""


class OpenAIChat(OpenAIGeneration):
    """Chat completions."""

    def parse(self, body: Mapping[str, Any], key: str | None) -> OpenAIRequest:
        rules = rules_of(str(body.get("model")))
        check_chat_fields(body, rules)
        turns, tools = read_messages(body), read_tools(body, "nested")
        schema = read_format(body, "response_format", "nested")
        if schema is ANY_OBJECT and not any("json" in turn.text.lower() for turn in turns):
            raise InvalidRequest("The messages must contain the word 'json' for a json_object.", "messages")
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        prompt = Prompt(turns=turns, tools=tools, schema=schema)
        stop = body.get("stop") or ()
        return replace(
            parsed_request(body, key, prompt, "messages", limit, chat_effort(body, rules)),
            choices=body.get("n") or 1,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            include_usage=(body.get("stream_options") or {}).get("include_usage") is True,
            logprobs=body.get("logprobs") is True,
            top_logprobs=body.get("top_logprobs") or 0,
        )

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        refusal = answer.text if answer.end == "refused" else None
        hidden = refusal is not None or answer.end == "filtered" or answer.tool_calls
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if hidden else answer.text,
            "refusal": refusal,
            "annotations": [],
        }
        if answer.tool_calls:
            message["tool_calls"] = [_call(call) for call in answer.tool_calls]
        choices = [
            {
                "index": index,
                "message": message,
                "finish_reason": _finish(parsed, answer),
                "logprobs": _logprobs(parsed, answer),
            }
            for index in range(parsed.choices)
        ]
        usage = {} if answer.unreported_usage else {"usage": _usage(answer.token_counts)}
        return _head("chat.completion", parsed, answer) | {"choices": choices} | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        head = _head("chat.completion.chunk", parsed, answer)
        padding = _padding(parsed)
        # With usage asked for, every chunk but the last carries it as null.
        usage: dict[str, Any] = {"usage": None} if parsed.include_usage else {}
        if answer.usage_first and parsed.include_usage:
            first: dict[str, Any] | None = {"usage": _usage(answer.token_counts.with_output(0))}
        else:
            first = None
        for delta, tokens in _deltas(answer):
            for index in range(parsed.choices):
                choice = _choice(index, delta, None, _chunk_logprobs(parsed, delta))
                yield data_event(head | {"choices": [choice]} | (first or usage) | next(padding), tokens)
                first = None
        for index in range(parsed.choices):
            yield data_event(head | {"choices": [_choice(index, {}, _finish(parsed, answer))]} | usage | next(padding))
        if parsed.include_usage and not (answer.unreported_usage or answer.usage_first):
            yield data_event(head | {"choices": [], "usage": _usage(answer.token_counts)} | next(padding))
        yield StreamFrame(b"data: [DONE]\n\n")


def _deltas(answer: GeneratedAnswer) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each delta with its tokens; the role is in the first one alone."""
    field = "refusal" if answer.end == "refused" else "content"
    opening: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if not answer.tool_calls:
        yield opening, 0
    for index, word in enumerate(answer.words):
        yield {field: f" {word}" if index else word}, 1
    for index, call in enumerate(answer.tool_calls):
        begun = {"tool_calls": [{"index": index} | _call(call, arguments="")]}
        yield (opening | {"content": None} | begun if index == 0 else begun), 1
        for piece in call.pieces:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, 1


def _call(call: EmulatedToolCall, arguments: str | None = None) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments if arguments is None else arguments}
    return {"id": f"call_{call.number}", "type": "function", "function": function}


def _padding(parsed: ParsedRequest) -> Iterator[dict[str, str]]:
    """Yield the padding that hides the length of a chunk's text."""
    rng = random.Random(parsed.content.digest)
    shown = isinstance(parsed, OpenAIRequest) and parsed.obfuscation
    while True:
        yield {"obfuscation": "x" * rng.randint(1, 16)} if shown else {}


def _logprobs(parsed: ParsedRequest, answer: GeneratedAnswer) -> dict[str, Any] | None:
    if not isinstance(parsed, OpenAIRequest) or not parsed.logprobs:
        return None
    words = [f" {word}" if index else word for index, word in enumerate(answer.words)]
    return {"content": [_token(word, parsed.top_logprobs) for word in words], "refusal": None}


def _chunk_logprobs(parsed: ParsedRequest, delta: dict[str, Any]) -> dict[str, Any] | None:
    if not isinstance(parsed, OpenAIRequest) or not parsed.logprobs or not delta.get("content"):
        return None
    return {"content": [_token(delta["content"], parsed.top_logprobs)], "refusal": None}


def _token(word: str, alternatives: int) -> dict[str, Any]:
    token = {"token": word, "logprob": _LOGPROB, "bytes": list(word.encode())}
    return token | {"top_logprobs": [token] * min(alternatives, 1)}


def _usage(token_counts: TokenCounts) -> dict[str, Any]:
    """OpenAI's input includes cached tokens, and its output reasoning tokens."""
    extras, output = token_counts.extras, token_counts.output_tokens
    return {
        "prompt_tokens": token_counts.input_tokens,
        "completion_tokens": output,
        "total_tokens": token_counts.input_tokens + output,
        "prompt_tokens_details": {
            "cached_tokens": extras.cached_tokens,
            "cache_write_tokens": extras.cache_write_5m_tokens + extras.cache_write_1h_tokens,
            "image_tokens": token_counts.image_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": min(output, extras.thinking_tokens),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(parsed: ParsedRequest, answer: GeneratedAnswer) -> str | None:
    # OpenAI's function calling guide: a call that the request forced by its name ends with `stop`.
    forced = parsed.tools.mode == "required" and bool(parsed.tools.names)
    if answer.end is None or (answer.end == "tool_calls" and forced):
        return answer.end and "stop"
    return _FINISH[answer.end]


def _head(kind: str, parsed: ParsedRequest, answer: GeneratedAnswer) -> dict[str, Any]:
    number = f"chatcmpl-{parsed.content.digest.hex()}"
    head = {"id": number, "object": kind, "created": CREATED_S, "model": parsed.model}
    return head | {"service_tier": answer.service_tier, "system_fingerprint": "fp_emulated"}


def _choice(
    index: int, delta: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
