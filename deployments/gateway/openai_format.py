"""Writes answers as OpenAI's clients read them, whole or as server-sent events. Knows no request."""

from __future__ import annotations

import base64
import json
import struct
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from deployments.gateway.failover import RoutedAnswer
from routing.errors import RayroomError
from routing.models import Delta, Usage


def told(answered: RoutedAnswer) -> dict[str, Any]:
    """Return what rayroom adds to every answer: tier and why, the whole request's cost, whether it is simulated."""
    decision = answered.decision
    return {
        "tier": decision.tier,
        "score": decision.score,
        "threshold": round(decision.threshold, 4),
        "reasons": decision.reasons,
        "cost_nanousd": answered.cost_nanousd,
        "attempts": answered.attempts,
        "simulated": answered.answer.simulated,
    }


def usage(usage: Usage | None) -> dict[str, Any] | None:
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
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _finish(answered: RoutedAnswer) -> str:
    return {"refusal": "content_filter"}.get(answered.answer.finish, answered.answer.finish)


def completion(answered: RoutedAnswer) -> dict[str, Any]:
    answer = answered.answer
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _finish(answered), "logprobs": None}
    body = {"choices": [choice], "usage": usage(answer.usage), "rayroom": told(answered)}
    return _head("chat.completion", answer.model) | body


async def events(
    first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None], with_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the server-sent events of a streamed completion; a failure after the first one is an event too.

    The last ones leave as one write: each write passes five layers on its way out.
    """
    head = _head("chat.completion.chunk", "")
    async with aclosing(rest):
        try:
            async for piece in _prepend(first, rest):
                if isinstance(piece, Delta):
                    yield _event(head | {"model": piece.model, "choices": [_choice({"content": piece.text}, None)]})
                else:
                    yield _ending(head | {"model": piece.answer.model}, piece, with_usage)
        except RayroomError as error:
            yield _event(error.envelope())


def _ending(head: dict[str, Any], answered: RoutedAnswer, with_usage: bool) -> bytes:
    """Return the events that follow the last text."""
    ending = _event(head | {"choices": [_choice({}, _finish(answered))], "rayroom": told(answered)})
    if with_usage:
        ending += _event(head | {"choices": [], "usage": usage(answered.answer.usage)})
    return ending + b"data: [DONE]\n\n"


async def _prepend(
    first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None]
) -> AsyncIterator[Delta | RoutedAnswer]:
    yield first
    async for piece in rest:
        yield piece


def _choice(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish, "logprobs": None}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
