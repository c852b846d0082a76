"""Decides whether a person has agreed to a call that changes something.

A call is proposed in an answer. Once that answer was given to its end, the next utterance of the same person decides:
a yes and nothing else lets the call happen, once. Nobody else's words count, nor a yes in any other text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from room_agent.conversation.tool_client import ListedRoomTool
from room_agent.conversation.tool_phrases import is_yes
from room_agent.text.quoting import CUT, one_line

WAIT_S = 30.0
"""How long after the end of the answer a yes counts."""
MAX_SHOWN_CHARS = 160
MAX_VALUE_CHARS = 60
MAX_SHOWN_ARGUMENTS = 8

Decision = Literal["yes", "no", "not theirs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCall:
    """A call of a tool that needs a yes of the person who asked."""

    identity: str
    tool: ListedRoomTool
    arguments: Mapping[str, Any] = field(repr=False)
    call_id: str


def decide(
    proposed: ProposedCall, until_s: float, identity: str, text: str, now_s: float, names: tuple[str, ...]
) -> Decision:
    """Return the meaning of an utterance for a proposed call; anything but a yes in time is a no."""
    if identity != proposed.identity:
        return "not theirs"
    return "yes" if now_s <= until_s and is_yes(text, names) else "no"


class Confirmation:
    """The one call of a room that waits for a yes."""

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self._names = names
        self._proposed: ProposedCall | None = None
        self._until_s: float | None = None
        self.proposals = self.agreed = 0

    def propose(self, call: ProposedCall) -> None:
        """Propose a call in the answer that is being given; it replaces an earlier one."""
        self._proposed, self._until_s = call, None
        self.proposals += 1

    def on_answer_ended(self, whole: bool, now_s: float) -> None:
        """Wait for the yes from now on, if the proposal was made in this answer and given to its end."""
        if self._proposed is None or self._until_s is not None:
            return
        if whole:
            self._until_s = now_s + WAIT_S
        else:
            self._proposed = None

    def take(self, identity: str, text: str, now_s: float) -> ProposedCall | None:
        """Return the proposed call if this utterance agrees to it. The person's own utterance ends the proposal."""
        if self._proposed is None or self._until_s is None:
            return None
        decision = decide(self._proposed, self._until_s, identity, text, now_s, self._names)
        if decision == "not theirs":
            return None
        call, self._proposed = self._proposed, None
        if decision == "no":
            return None
        self.agreed += 1
        return call

    @property
    def awaited(self) -> set[str]:
        """Return the identity that may agree to the proposed call, if there is one."""
        return set() if self._proposed is None else {self._proposed.identity}

    def on_left(self, identity: str) -> None:
        """Drop the proposal to a participant who left: another may join under the same name."""
        if self._proposed is not None and self._proposed.identity == identity:
            self._proposed = None


def shown_arguments(arguments: Mapping[str, Any]) -> str:
    """Return the arguments as a short text in brackets, empty if there are none; each cut has an ellipsis."""
    shown = list(arguments.items())[:MAX_SHOWN_ARGUMENTS]
    parts = [f"{one_line(str(name), MAX_VALUE_CHARS)}: {_shown(value)}" for name, value in shown]
    parts += [CUT] * (len(arguments) > len(shown))
    return f" ({one_line(', '.join(parts), MAX_SHOWN_CHARS)})" if parts else ""


def as_text(value: Any) -> str:
    """Return an argument, or all of them, as people can read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    return one_line(as_text(value), MAX_VALUE_CHARS)
