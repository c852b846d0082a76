"""Says what a room is told when a part of the conversation fails: once for each time it fails. Knows no vendor."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """What can fail by itself, and does not take the others with it."""

    THINKING = "thinking"
    HEARING = "hearing"
    SPEAKING = "speaking"
    BUDGET = "budget"


SAID: dict[Trouble, str] = {
    Trouble.THINKING: "I am sorry, I cannot think of an answer right now. Please ask me again in a moment.",
    Trouble.HEARING: "I am sorry, I cannot hear you right now. Please write to me in the chat.",
    Trouble.SPEAKING: "I cannot speak right now. I will answer in writing.",
    Trouble.BUDGET: "The budget for this meeting's assistant is used up. I will be quiet until there is more.",
}
ALOUD = frozenset({Trouble.THINKING, Trouble.HEARING})
"""Told in writing and by voice. The others only in writing: without a voice, and without money for one."""


class Troubles:
    """What is wrong in a room now."""

    def __init__(self) -> None:
        self._now: set[Trouble] = set()
        self.begun = dict.fromkeys(Trouble, 0)

    def begin(self, trouble: Trouble) -> str | None:
        """Note that something fails; returns what to say of it, unless that has been said."""
        if trouble in self._now:
            return None
        self._now.add(trouble)
        self.begun[trouble] += 1
        return SAID[trouble]

    def end(self, trouble: Trouble) -> bool:
        """Note that something works; returns whether it did not before."""
        was = trouble in self._now
        self._now.discard(trouble)
        return was

    def __contains__(self, trouble: Trouble) -> bool:
        return trouble in self._now
