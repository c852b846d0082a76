"""Only a failed, declined or rejected answer to the same participant counts as failed before."""

from __future__ import annotations

from typing import Any

import pytest

from room_agent.conversation.last_answer import LAST_ANSWER_S, LastAnswer, failed_before
from room_agent.conversation.question_queue import Question


def last_answer(**changes: Any) -> LastAnswer:
    fields: dict[str, Any] = {"to": "ann", "text": "It says forty two.", "failed": False, "interrupted": False}
    return LastAnswer(**fields | {"ended_at_s": 100.0} | changes)


def question(text: str = "What is it?", identity: str = "ann", at_s: float = 110.0) -> Question:
    return Question(identity=identity, name=identity, text=text, asked_at_s=at_s)


@pytest.mark.parametrize("text", ["No, that's wrong.", "That's not what I asked.", "I meant the other one.", "Wrong."])
def test_a_rejected_answer_has_failed(text: str) -> None:
    assert failed_before(last_answer(), question(text))


@pytest.mark.parametrize(
    "changes", [{"failed": True, "text": ""}, {"text": "I'm sorry, but I can't help with that."}, {"text": "..."}]
)
def test_a_missing_or_declining_answer_has_failed(changes: dict[str, Any]) -> None:
    assert failed_before(last_answer(**changes), question())


@pytest.mark.parametrize("text", ["What is it?", "No problem, thanks.", "Thank you.", "And below?"])
def test_another_question_alone_does_not_reject_an_answer(text: str) -> None:
    assert not failed_before(last_answer(), question(text))


def test_an_interruption_alone_does_not_reject_an_answer() -> None:
    assert not failed_before(last_answer(text="", interrupted=True), question())
    assert failed_before(last_answer(text="", interrupted=True), question("No, the other one."))


def test_another_participants_answer_and_an_old_one_do_not_count() -> None:
    rejection = "No, that's wrong."
    assert not failed_before(None, question(rejection))
    assert not failed_before(last_answer(), question(rejection, identity="bob"))
    assert not failed_before(last_answer(), question(rejection, at_s=101.0 + LAST_ANSWER_S))
