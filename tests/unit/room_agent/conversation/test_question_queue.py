"""Who waits for an answer, what is told of a failure, and what stays out of the log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from room_agent.conversation.notices import Trouble, Troubles
from room_agent.conversation.question_queue import MOST_CHARS, Question, QuestionQueue
from room_agent.log_redaction import RedactionFilter

EVERYBODY = {"ann", "bob", "cat"}


def question(identity: str, text: str = "what?") -> Question:
    return Question(identity=identity, name=identity, text=text, asked_at_s=0.0)


async def test_who_asks_a_hundred_times_waits_as_one_and_keeps_their_place() -> None:
    turns = QuestionQueue()
    turns.offer(question("bob", "0"))
    turns.offer(question("ann"))
    for number in range(1, 100):
        turns.offer(question("bob", str(number)))
    assert len(turns) == 2 and turns.shed == 0
    everything = " ".join(map(str, range(100)))
    assert [(await turns.next(EVERYBODY)).text, (await turns.next(EVERYBODY)).identity] == [everything, "ann"]


async def test_what_is_too_long_to_go_on_with_a_question_takes_its_place_and_is_counted() -> None:
    turns = QuestionQueue()
    turns.offer(question("bob", "x" * MOST_CHARS))
    turns.offer(question("bob", "and the total?"))
    assert turns.shed == 1 and (await turns.next(EVERYBODY)).text == "and the total?"


async def test_more_people_than_can_wait_are_counted() -> None:
    turns = QuestionQueue(most=2)
    for identity in ("ann", "bob", "cat"):
        turns.offer(question(identity))
    assert len(turns) == 2 and turns.shed == 1


async def test_the_question_of_who_left_is_not_answered() -> None:
    turns = QuestionQueue()
    turns.offer(question("ann"))
    turns.drop("ann")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns.next(EVERYBODY), 0.01)


async def test_a_question_waits_for_its_asker_and_keeps_nobody_else_waiting() -> None:
    turns, people = QuestionQueue(), {"bob"}
    turns.offer(question("ann"))
    turns.offer(question("bob"))
    assert (await turns.next(people)).identity == "bob" and turns.waiting == {"ann"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns.next(people), 0.01)
    waits = asyncio.create_task(turns.next(people))
    await asyncio.sleep(0)
    people.add("ann")
    turns.look()
    assert (await asyncio.wait_for(waits, 1.0)).identity == "ann"


async def test_what_goes_on_with_a_question_is_one_question_with_it() -> None:
    turns = QuestionQueue()
    turns.join("What was on", question("ann", "the slide before?"))
    assert (await turns.next(EVERYBODY)).text == "What was on the slide before?"


def test_a_failure_is_told_once_for_each_time_it_begins() -> None:
    troubles = Troubles()
    assert troubles.begin(Trouble.THINKING) and troubles.begin(Trouble.THINKING) is None
    assert troubles.end(Trouble.THINKING) and not troubles.end(Trouble.THINKING)
    assert troubles.begin(Trouble.THINKING) and troubles.begun[Trouble.THINKING] == 2
    assert troubles.begin(Trouble.HEARING) is not None


def record(pathname: str) -> logging.LogRecord:
    error = (ValueError, ValueError("the secret plan"), None)
    made = logging.LogRecord("livekit.agents", 30, pathname, 7, "no audio for text: %s", ("the secret plan",), error)
    made.data = {"transcript": "the secret plan"}
    return made


def test_a_line_of_the_speech_pipeline_keeps_its_place_and_nothing_that_was_said() -> None:
    line = record("/x/livekit/agents/tts/tts.py")
    assert RedactionFilter().filter(line)
    shown = logging.Formatter().format(line) + str(vars(line))
    assert "secret" not in shown and "line 7 ValueError" in shown


def test_a_line_of_the_worker_stays_as_it_is() -> None:
    line = record("/x/livekit/agents/worker.py")
    assert RedactionFilter().filter(line) and "secret" in line.getMessage()
