"""Writes the messages by which a model learns the results of its calls: quoted data, or a sentence of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from room_agent.conversation.tool_calls import RequestedCall
from room_agent.conversation.tool_client import ToolAnswer
from room_agent.text.quoting import Fence

MAX_RESULT_TOKENS = 1_500
TIMED_OUT = "The tool did not answer in time. It may have done its work all the same."
FAILED = "The tool could not be called."
UNKNOWN = "The call failed. The tool may have done its work all the same."
CHANGED = "The tool is not as it was. It was not called."
NOTHING = "The tool returned nothing."
REPORTS_FAILURE = "The tool reports that it failed:"


def failure_message(http_status: int | None) -> str:
    """Return the message in place of a result that the router refused with a status, or did not send."""
    if http_status in (404, 409):
        return CHANGED
    if http_status == 504:
        return TIMED_OUT
    # Only with a 4xx did the call surely not leave the router.
    return FAILED if http_status is not None and http_status < 500 else UNKNOWN


def result_message(answer: ToolAnswer, key: str) -> str:
    """Return the result of a call as the message for the model: a quotation with the turn's key."""
    quoted = Fence(key).quote("tool result", answer.text, MAX_RESULT_TOKENS) or NOTHING
    return f"{REPORTS_FAILURE}\n{quoted}" if answer.is_error else quoted


def history(said: str, requests: Sequence[RequestedCall], results: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a reply of the model with its calls, and their results, as messages of the next request."""
    calls = [
        {
            "id": one.call_id,
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments or "{}"},
            "extra": dict(one.extra or {}),
        }
        for one in requests
    ]
    answers = [
        {"role": "tool", "tool_call_id": one.call_id, "content": results.get(one.call_id, FAILED)} for one in requests
    ]
    return [{"role": "assistant", "content": said, "tool_calls": calls}, *answers]
