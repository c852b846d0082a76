"""Join the pieces of a streamed answer: to one piece, or to the whole answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from routing.chat import ToolCall, ToolCallDelta
from routing.models import Answer, Delta, Usage


def joined_delta(deltas: Sequence[Delta]) -> Delta:
    """Return pieces that follow one another as one; its finish, usage and tier are those of the last."""
    last = deltas[-1]
    return Delta(
        text="".join(delta.text for delta in deltas),
        tool_calls=tuple(piece for delta in deltas for piece in delta.tool_calls),
        logprobs=joined_logprobs(delta.logprobs for delta in deltas),
        finish=last.finish,
        usage=last.usage,
        usage_so_far=next((delta.usage_so_far for delta in reversed(deltas) if delta.usage_so_far is not None), None),
        thinking_bytes=sum(delta.thinking_bytes for delta in deltas),
        service_tier=last.service_tier,
    )


def joined_answer(deltas: Sequence[Delta], model: str, simulated: bool) -> Answer:
    """Return all pieces of one attempt as an answer of `model`."""
    usages = [delta.usage for delta in deltas if delta.usage is not None]
    tiers = [delta.service_tier for delta in deltas if delta.service_tier is not None]
    return Answer(
        text="".join(delta.text for delta in deltas),
        model=model,
        finish=deltas[-1].finish or "stop",
        usage=sum(usages, Usage()) if usages else None,
        tool_calls=joined_tool_calls(piece for delta in deltas for piece in delta.tool_calls),
        logprobs=joined_logprobs(delta.logprobs for delta in deltas),
        service_tier=tiers[-1] if tiers else None,
        simulated=simulated,
    )


def joined_tool_calls(pieces: Iterable[ToolCallDelta]) -> tuple[ToolCall, ...]:
    """Return the tool calls that `pieces` make up, in the order of their first pieces."""
    calls: dict[int, list[ToolCallDelta]] = {}
    for piece in pieces:
        calls.setdefault(piece.index, []).append(piece)
    return tuple(_tool_call(of_one) for of_one in calls.values())


def joined_logprobs(parts: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """Return log probabilities in OpenAI's form as one: each field is a list of tokens, or None."""
    joined: dict[str, Any] = {}
    for part in parts:
        for name, tokens in (part or {}).items():
            joined[name] = [*(joined.get(name) or ()), *tokens] if tokens is not None else joined.get(name)
    return joined or None


def _tool_call(pieces: list[ToolCallDelta]) -> ToolCall:
    return ToolCall(
        call_id=next((piece.call_id for piece in pieces if piece.call_id), ""),
        name=next((piece.name for piece in pieces if piece.name), ""),
        arguments="".join(piece.arguments for piece in pieces),
        signature=next((piece.signature for piece in pieces if piece.signature), None),
    )
