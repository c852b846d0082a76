"""Queues questions that wait for an answer: at most one per participant, in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field, replace

from room_agent.conversation.tool_confirmation import ProposedCall

MAX_WAITING = 16
MAX_CHARS = 8_192
"""The longest question after joining. A question that would exceed it replaces the earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One participant's question to the agent."""

    identity: str
    name: str
    text: str = field(repr=False)
    asked_at_s: float
    """The end of speech, or the arrival of the chat message. Answer delays are measured from it."""
    unsure: bool = False
    """Whether it may be for somebody else, so that nobody has to know of a failure."""
    may_be_silent: bool = False
    """Whether the model may answer with silence: of all that is unsure, and that somebody alone says without a name."""
    simple: bool = False
    """Whether a cheap model answers in any case."""
    language: str = ""
    """The code of the language in which it was spoken, as far as STT detects that."""
    confirmed: ProposedCall | None = None
    """The call to which this text agrees."""


class QuestionQueue:
    """A participant's newer question is appended to their waiting one, so a hundred questions take one place."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: dict[str, Question] = {}
        self._changed = asyncio.Event()
        self.shed = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, question: Question) -> None:
        """Add a question, or append it to the participant's waiting one. A full queue sheds it."""
        before = self._waiting.get(question.identity)
        if before is not None:
            self._waiting[question.identity] = self._joined(before, question)
        elif len(self._waiting) < self._max_waiting:
            self._waiting[question.identity] = question
        else:
            self.shed += 1
        self._changed.set()

    def join(self, before: Question, question: Question) -> None:
        """Offer a question that continues another of the same participant."""
        self.offer(self._joined(before, question))

    def _joined(self, before: Question, question: Question) -> Question:
        text = f"{before.text} {question.text}"
        if len(text) <= MAX_CHARS:
            # An earlier text's yes is dropped: "Yes." and then "No, wait." agree to nothing.
            return replace(
                question,
                text=text,
                unsure=before.unsure and question.unsure,
                may_be_silent=before.may_be_silent and question.may_be_silent,
                simple=before.simple and question.simple,
            )
        self.shed += 1
        return question

    @property
    def waiting(self) -> set[str]:
        """Return the identities of the participants with a waiting question."""
        return set(self._waiting)

    def get(self, identity: str) -> Question | None:
        """Return a participant's waiting question, or None."""
        return self._waiting.get(identity)

    def drop(self, identity: str) -> None:
        """Remove a participant's waiting question, if any."""
        self._waiting.pop(identity, None)

    def take_all(self) -> list[Question]:
        """Remove and return all waiting questions, the oldest first."""
        questions = list(self._waiting.values())
        self._waiting.clear()
        return questions

    def wake(self) -> None:
        """Make `next` check again which participants are present."""
        self._changed.set()

    async def next(self, present: Container[str]) -> Question:
        """Wait for and remove the oldest question of a participant in `present`; unsure ones come last."""
        while not (waiting := [one for one in self._waiting.values() if one.identity in present]):
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.pop(min(waiting, key=lambda question: question.unsure).identity)
