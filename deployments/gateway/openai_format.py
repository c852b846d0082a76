"""Format answers as OpenAI's clients parse them, whole or as server-sent events."""

from __future__ import annotations

import base64
import json
import struct
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from deployments.gateway.models import RoutedAnswer
from routing.errors import RayroomError
from routing.models import Delta, EmbeddingResult, Usage


def description(routed: RoutedAnswer) -> dict[str, Any]:
    """Return the body for a described frame."""
    answer = routed.answer
    body = {
        "description": answer.text,
        "model": answer.model,
        "finish": answer.finish,
        "usage": _usage(answer.usage),
    }
    return body | _routing(routed)


def completion(routed: RoutedAnswer) -> dict[str, Any]:
    """Return the body of a whole chat completion."""
    answer = routed.answer
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _finish(routed), "logprobs": None}
    body = {"choices": [choice], "usage": _usage(answer.usage), "rayroom": _routing(routed)}
    return _head("chat.completion", answer.model) | body


async def events(
    first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None], with_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the server-sent events of a streamed completion; an error after the first event is an event too.

    The last events leave as one write, because each write passes five layers on its way out.
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
            yield error_event(error)


def error_event(error: RayroomError) -> bytes:
    """Return the event that ends a stream: clients raise its error."""
    return _event(error.envelope())


def embeddings(result: EmbeddingResult, cost_nanousd: int, encoding: str) -> dict[str, Any]:
    """Return the body of an embedding response; `encoding` is OpenAI's: "float" or "base64"."""
    rows = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if encoding == "base64" else vector}
        for index, vector in enumerate(result.vectors)
    ]
    tokens = result.usage.input_tokens if result.usage else 0
    return {
        "object": "list",
        "model": result.model,
        "data": rows,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "rayroom": {"cost_nanousd": cost_nanousd, "simulated": result.simulated},
    }


def _routing(routed: RoutedAnswer) -> dict[str, Any]:
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
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _finish(routed: RoutedAnswer) -> str:
    return {"refusal": "content_filter"}.get(routed.answer.finish, routed.answer.finish)


def _ending(head: dict[str, Any], routed: RoutedAnswer, with_usage: bool) -> bytes:
    """Return the events that follow the last text."""
    ending = _event(head | {"choices": [_choice({}, _finish(routed))], "rayroom": _routing(routed)})
    if with_usage:
        ending += _event(head | {"choices": [], "usage": _usage(routed.answer.usage)})
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


def _packed(vector: tuple[float, ...]) -> str:
    """Return a vector as OpenAI's base64 encoding: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
