"""Tells whether the last answer failed the one who asks again, so that the router may ask a stronger model now."""

from __future__ import annotations

from dataclasses import dataclass, field

from room_agent.conversation.question_queue import Question
from routing.complexity import rejects
from routing.evidence import needs_stronger
from routing.models import Answer

REMEMBERED_S = 120.0
"""What somebody asks later than that is about something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """How the room's last answer ended."""

    to: str
    text: str = field(repr=False)
    failed: bool
    """No answer came, or it broke off by itself."""
    interrupted: bool
    ended_at_s: float


def failed_before(last: LastAnswer | None, question: Question) -> bool:
    """Tell whether a question comes after an answer to the same person that did not do.

    None came, it declined, or the question begins by rejecting it. Who only interrupts an answer has not judged it.
    """
    if last is None or last.to != question.identity or question.asked_at_s - last.ended_at_s > REMEMBERED_S:
        return False
    if last.failed or rejects(question.text):
        return True
    answer = Answer(text=last.text, model="", finish="stop", usage=None)
    return not last.interrupted and needs_stronger(answer) is not None
