"""Format answers as OpenAI's clients parse them, whole or as server-sent events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from deployments.api.call_ids import join_call_id
from deployments.gateway.models import RoutedAnswer
from routing.chat import ToolCall, ToolCallDelta
from routing.errors import RayroomError
from routing.models import Answer, Delta, Usage

_SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority")


def description(routed: RoutedAnswer) -> dict[str, Any]:
    """Return the body for a described frame."""
    answer = routed.answer
    body = {
        "description": answer.text,
        "model": answer.model,
        "finish": answer.finish,
        "usage": _usage(answer.usage),
    }
    return body | routing_facts(routed)


def completion(routed: RoutedAnswer) -> dict[str, Any]:
    """Return the body of a whole chat completion."""
    answer = routed.answer
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    finish = _finish(answer)
    if answer.finish == "refusal":
        # OpenAI's own refusals end with `stop`. One without a text was stopped by a filter.
        message |= {"content": None, "refusal": answer.text or None}
        finish = "stop" if answer.text else finish
    if answer.tool_calls:
        # A null content and not an empty one: some clients take that for an answer.
        message |= {"content": answer.text or None, "tool_calls": [_call(call) for call in answer.tool_calls]}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": answer.logprobs}
    body = {"choices": [choice], "usage": _usage(answer.usage), "rayroom": routing_facts(routed)}
    return _head("chat.completion", answer.model) | served_tier(answer) | body


class ChatEvents:
    """Writes the server-sent events of one streamed completion."""

    def __init__(self, with_usage: bool) -> None:
        self._with_usage = with_usage

    async def events(
        self, first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None]
    ) -> AsyncIterator[bytes]:
        """Yield the events; an error after the first one is an event too.

        The last events leave as one write, because each write passes five layers on its way out.
        """
        chunks = _Chunks(first.model if isinstance(first, Delta) else first.answer.model, self._with_usage)
        async with aclosing(rest):
            try:
                async for piece in _prepend(first, rest):
                    yield chunks.delta(piece) if isinstance(piece, Delta) else chunks.ending(piece)
            except RayroomError as error:
                yield self.failed(error)

    def failed(self, error: RayroomError) -> bytes:
        """Return the event that ends a stream: clients raise its error."""
        return _event(error.envelope())


class _Chunks:
    """Writes the chunks of one stream: all have the same id, time and model, and the first one names the role."""

    def __init__(self, model: str, with_usage: bool) -> None:
        # Written once, because a stream has hundreds of chunks.
        self._head = _json(_head("chat.completion.chunk", model))[:-1]
        self._with_usage = with_usage
        self._role: dict[str, Any] = {"role": "assistant", "content": None}

    def delta(self, piece: Delta) -> bytes:
        """Return the event of a piece of the answer."""
        delta, self._role = self._role, {}
        if piece.text or not piece.tool_calls:
            delta["content"] = piece.text
        if piece.tool_calls:
            delta["tool_calls"] = [_call_delta(call) for call in piece.tool_calls]
        return self._chunk([_choice(delta, None, piece.logprobs)])

    def ending(self, routed: RoutedAnswer) -> bytes:
        """Return the events that follow the last piece."""
        answer = routed.answer
        # The answer may be empty, and then this is its only chunk.
        delta = self._role and self._role | {"content": ""}
        extras = served_tier(answer) | {"rayroom": routing_facts(routed)}
        ending = self._chunk([_choice(delta, _finish(answer), None)], **extras)
        if self._with_usage:
            ending += self._chunk([], usage=_usage(answer.usage))
        return ending + b"data: [DONE]\n\n"

    def _chunk(self, choices: list[dict[str, Any]], **extras: Any) -> bytes:
        # OpenAI sends a null usage with each other chunk where the usage was requested.
        fields = {"choices": choices} | ({"usage": None} if self._with_usage else {}) | extras
        return b"data: " + self._head + b"," + _json(fields)[1:] + b"\n\n"


def routing_facts(routed: RoutedAnswer) -> dict[str, Any]:
    """Return the fields that rayroom adds to each answer: the decision, the cost of all attempts, simulated or not."""
    decision = routed.decision
    return {
        "tier": decision.tier,
        "score": decision.score,
        "threshold": round(decision.threshold, 4),
        "reasons": decision.reasons,
        "cost_nanousd": routed.cost_nanousd,
        "attempts": routed.attempts,
        "simulated": routed.answer.simulated,
    }


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
    }


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": None,
    }


def served_tier(answer: Answer) -> dict[str, Any]:
    """Return the tier that the vendor served, if it is one of OpenAI's: its clients accept no other."""
    return {"service_tier": answer.service_tier} if answer.service_tier in _SERVICE_TIERS else {}


def _finish(answer: Answer) -> str:
    return "content_filter" if answer.finish == "refusal" else answer.finish


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": join_call_id(call.call_id, call.signature), "type": "function", "function": function}


def _call_delta(piece: ToolCallDelta) -> dict[str, Any]:
    function = {"arguments": piece.arguments} | ({} if piece.name is None else {"name": piece.name})
    if piece.call_id is None:
        return {"index": piece.index, "function": function}
    call_id = join_call_id(piece.call_id, piece.signature)
    return {"index": piece.index, "id": call_id, "type": "function", "function": function}


async def _prepend(
    first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None]
) -> AsyncIterator[Delta | RoutedAnswer]:
    yield first
    async for piece in rest:
        yield piece


def _choice(delta: dict[str, Any], finish: str | None, logprobs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + _json(body) + b"\n\n"


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
