"""Keeps the questions that wait for their answer: one of each person, in the order they came. Knows no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field, replace

MOST_WAITING = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asked the agent."""

    identity: str
    name: str
    text: str = field(repr=False)
    asked_at_s: float
    """When the asker fell silent or pressed return: what an answer's delay is counted from."""


class Turns:
    """A person's newer question takes the place of the older one, so whoever asks a hundred waits as one."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: dict[str, Question] = {}
        self._filled = asyncio.Event()
        self.shed = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, question: Question) -> None:
        waits = question.identity in self._waiting
        if waits or len(self._waiting) >= self._most:
            self.shed += 1
        if waits or len(self._waiting) < self._most:
            self._waiting[question.identity] = question
        self._filled.set()

    def join(self, before: str, question: Question) -> None:
        """Offer a question that goes on with what its asker had said before."""
        self.offer(replace(question, text=f"{before} {question.text}"))

    @property
    def waiting(self) -> set[str]:
        """Return who waits."""
        return set(self._waiting)

    def drop(self, identity: str) -> None:
        """Forget the question of somebody who left."""
        self._waiting.pop(identity, None)

    def look(self) -> None:
        """Have `next` look anew at who is there."""
        self._filled.set()

    async def next(self, people: Container[str]) -> Question:
        """Return the question that has waited longest of those whose asker is among `people`, once there is one."""
        while (first := next((one for one in self._waiting if one in people), None)) is None:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.pop(first)
