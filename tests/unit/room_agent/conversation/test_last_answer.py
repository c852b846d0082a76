"""An answer that failed its asker is told of with the next question, and no other answer is."""

from __future__ import annotations

from typing import Any

import pytest

from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import REMEMBERED_S, LastAnswer, failed_before


def last(**changes: Any) -> LastAnswer:
    told: dict[str, Any] = {"to": "ann", "text": "It says forty two.", "failed": False, "interrupted": False}
    return LastAnswer(**told | {"ended_at_s": 100.0} | changes)


def question(text: str = "What is it?", identity: str = "ann", at_s: float = 110.0) -> Question:
    return Question(identity=identity, name=identity, text=text, asked_at_s=at_s)


@pytest.mark.parametrize("text", ["No, that's wrong.", "That's not what I asked.", "I meant the other one.", "Wrong."])
def test_who_rejects_an_answer_was_failed_by_it(text: str) -> None:
    assert failed_before(last(), question(text))


@pytest.mark.parametrize(
    "changes", [{"failed": True, "text": ""}, {"text": "I'm sorry, but I can't help with that."}, {"text": "..."}]
)
def test_an_answer_that_did_not_come_or_declines_has_failed(changes: dict[str, Any]) -> None:
    assert failed_before(last(**changes), question())


@pytest.mark.parametrize("text", ["What is it?", "No problem, thanks.", "Thank you.", "And below?"])
def test_who_just_goes_on_was_answered(text: str) -> None:
    assert not failed_before(last(), question(text))


def test_who_interrupts_has_not_judged_the_answer_unless_they_reject_it() -> None:
    assert not failed_before(last(text="", interrupted=True), question())
    assert failed_before(last(text="", interrupted=True), question("No, the other one."))


def test_another_persons_answer_and_an_old_one_are_none() -> None:
    wrong = "No, that's wrong."
    assert not failed_before(None, question(wrong))
    assert not failed_before(last(), question(wrong, identity="bob"))
    assert not failed_before(last(), question(wrong, at_s=101.0 + REMEMBERED_S))
