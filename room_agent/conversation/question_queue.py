"""Keeps the questions that wait for their answer: one of each person, in the order they came. Knows no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field, replace

MOST_WAITING = 16
MOST_CHARS = 8_192
"""Of all that somebody asks while they wait: what does not fit takes the place of what was asked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asked the agent."""

    identity: str
    name: str
    text: str = field(repr=False)
    asked_at_s: float
    """When the asker fell silent or pressed return: what an answer's delay is counted from."""


class QuestionQueue:
    """A person's newer question goes on with the older one in its place, so whoever asks a hundred waits as one."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: dict[str, Question] = {}
        self._filled = asyncio.Event()
        self.shed = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, question: Question) -> None:
        before = self._waiting.get(question.identity)
        if before is not None:
            self._waiting[question.identity] = self._joined(before.text, question)
        elif len(self._waiting) < self._most:
            self._waiting[question.identity] = question
        else:
            self.shed += 1
        self._filled.set()

    def join(self, before: str, question: Question) -> None:
        """Offer a question that goes on with what its asker had said before."""
        self.offer(self._joined(before, question))

    def _joined(self, before: str, question: Question) -> Question:
        text = f"{before} {question.text}"
        if len(text) <= MOST_CHARS:
            return replace(question, text=text)
        self.shed += 1
        return question

    @property
    def waiting(self) -> set[str]:
        """Return who waits."""
        return set(self._waiting)

    def asked_at_s(self, identity: str) -> float | None:
        """Return when the question of somebody who waits was asked."""
        question = self._waiting.get(identity)
        return question.asked_at_s if question is not None else None

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
