"""Decides which of a model's calls are made at once, which one needs a person's yes, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from room_agent.conversation.tool_client import ListedRoomTool

MAX_CALLS_A_TURN = 4
MAX_AT_ONCE = 3
NO_TOOL = "There is no such tool."
NO_ARGUMENTS = "The arguments are not a JSON object. The tool was not called."
TOO_MANY = "Too many calls. This one was not made; answer with the results that are there."


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedCall:
    """A call as the model requests it. The arguments are its text, and may be anything."""

    call_id: str
    name: str
    arguments: str = field(repr=False)
    extra: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the vendor wants back with the result, such as the signature of a thought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedCall:
    """A call that may be made: its request, the tool, and the arguments."""

    request: RequestedCall
    tool: ListedRoomTool
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """The calls to make at once, the messages in place of the others' results, and the call that needs a yes.

    With a call that needs a yes nothing else is done: the person answers first.
    """

    now: tuple[AllowedCall, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    needs_yes: AllowedCall | None = None


def plan_calls(requests: Sequence[RequestedCall], tools: Sequence[ListedRoomTool], calls_left: int) -> CallPlan:
    """Return the plan for the calls of one reply of the model; `calls_left` is the rest of the turn's number."""
    by_name = {tool.name: tool for tool in tools}
    allowed: list[AllowedCall] = []
    refused: dict[str, str] = {}
    for request in requests:
        tool, arguments = by_name.get(request.name), _arguments(request.arguments)
        if tool is None:
            refused[request.call_id] = NO_TOOL
        elif arguments is None:
            refused[request.call_id] = NO_ARGUMENTS
        elif tool.changes and calls_left > 0:
            return CallPlan(needs_yes=AllowedCall(request=request, tool=tool, arguments=arguments))
        elif len(allowed) < min(MAX_AT_ONCE, calls_left):
            allowed.append(AllowedCall(request=request, tool=tool, arguments=arguments))
        else:
            refused[request.call_id] = TOO_MANY
    return CallPlan(now=tuple(allowed), refused=refused)


def _arguments(text: str) -> Mapping[str, Any] | None:
    """Return the arguments of a call, or None where the text is no JSON object."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
