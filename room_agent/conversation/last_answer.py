"""Decides whether the room's last answer failed the participant who asks again."""

from __future__ import annotations

from dataclasses import dataclass, field

from room_agent.conversation.question_queue import Question
from routing.complexity import rejects
from routing.evidence import needs_stronger
from routing.models import Answer

LAST_ANSWER_S = 120.0
"""A question asked later than this after an answer is not a reaction to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """The end of the room's last answer."""

    to: str
    text: str = field(repr=False)
    failed: bool
    """No answer came, or it broke off by an error."""
    interrupted: bool
    ended_at_s: float


def failed_before(last: LastAnswer | None, question: Question) -> bool:
    """Return whether the last answer to the same participant failed, declined, or is rejected by this question.

    An interruption alone does not count: the asker has not judged the answer.
    """
    if last is None or last.to != question.identity or question.asked_at_s - last.ended_at_s > LAST_ANSWER_S:
        return False
    if last.failed or rejects(question.text):
        return True
    answer = Answer(text=last.text, model="", finish="stop", usage=None)
    return not last.interrupted and needs_stronger(answer) is not None
