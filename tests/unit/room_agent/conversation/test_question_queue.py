"""The queue of questions, the start and end of troubles, and log redaction."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from room_agent.conversation.notices import ActiveTroubles, Trouble
from room_agent.conversation.question_queue import MAX_CHARS, Question, QuestionQueue
from room_agent.conversation.tool_client import ListedRoomTool
from room_agent.conversation.tool_confirmation import ProposedCall
from room_agent.log_redaction import RedactionFilter

PRESENT = {"ann", "bob", "cat"}


def question(identity: str, text: str = "what?") -> Question:
    return Question(identity=identity, name=identity, text=text, asked_at_s=0.0)


async def test_questions_of_one_participant_share_one_place_in_the_queue() -> None:
    queue = QuestionQueue()
    queue.offer(question("bob", "0"))
    queue.offer(question("ann"))
    for number in range(1, 100):
        queue.offer(question("bob", str(number)))
    assert len(queue) == 2 and queue.shed == 0
    joined_text = " ".join(map(str, range(100)))
    assert [(await queue.next(PRESENT)).text, (await queue.next(PRESENT)).identity] == [joined_text, "ann"]


async def test_a_yes_that_more_words_follow_agrees_to_nothing() -> None:
    tool = ListedRoomTool(name="shop_cancel", title="Cancel", description="", parameters={}, digest="0" * 32)
    call = ProposedCall(identity="ann", tool=tool, arguments={}, call_id="c1")
    queue = QuestionQueue()
    queue.offer(replace(question("ann", "Yes."), confirmed=call))
    queue.offer(question("ann", "No, not that one."))
    joined = await queue.next(PRESENT)
    assert (joined.text, joined.confirmed) == ("Yes. No, not that one.", None)


async def test_a_question_too_long_to_join_replaces_the_earlier_one_and_is_counted() -> None:
    queue = QuestionQueue()
    queue.offer(question("bob", "x" * MAX_CHARS))
    queue.offer(question("bob", "and the total?"))
    assert queue.shed == 1 and (await queue.next(PRESENT)).text == "and the total?"


async def test_questions_beyond_the_limit_are_shed_and_counted() -> None:
    queue = QuestionQueue(max_waiting=2)
    for identity in ("ann", "bob", "cat"):
        queue.offer(question(identity))
    assert len(queue) == 2 and queue.shed == 1


async def test_a_dropped_question_is_not_returned() -> None:
    queue = QuestionQueue()
    queue.offer(question("ann"))
    queue.drop("ann")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.next(PRESENT), 0.01)


async def test_a_question_waits_for_its_absent_asker_and_does_not_block_others() -> None:
    queue, present = QuestionQueue(), {"bob"}
    queue.offer(question("ann"))
    queue.offer(question("bob"))
    assert (await queue.next(present)).identity == "bob" and queue.waiting == {"ann"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.next(present), 0.01)
    next_question = asyncio.create_task(queue.next(present))
    await asyncio.sleep(0)
    present.add("ann")
    queue.wake()
    assert (await asyncio.wait_for(next_question, 1.0)).identity == "ann"


async def test_a_continued_question_is_joined_with_its_beginning() -> None:
    queue = QuestionQueue()
    queue.join(question("ann", "What was on"), question("ann", "the slide before?"))
    assert (await queue.next(PRESENT)).text == "What was on the slide before?"


async def test_unsure_questions_come_last_and_a_sure_part_makes_the_whole_sure() -> None:
    queue = QuestionQueue()
    queue.offer(replace(question("ann"), unsure=True))
    queue.offer(question("bob"))
    assert [(await queue.next(PRESENT)).identity for _ in range(2)] == ["bob", "ann"]
    for unsure in (True, False, True):
        queue.offer(replace(question("ann"), unsure=unsure))
    assert not (await queue.next(PRESENT)).unsure


def test_a_failure_begins_once_until_it_ends() -> None:
    troubles = ActiveTroubles()
    assert troubles.begin(Trouble.THINKING) and not troubles.begin(Trouble.THINKING)
    assert troubles.end(Trouble.THINKING) and not troubles.end(Trouble.THINKING)
    assert troubles.begin(Trouble.THINKING) and troubles.begun[Trouble.THINKING] == 2
    assert troubles.begin(Trouble.HEARING)


def make_record(pathname: str) -> logging.LogRecord:
    error = (ValueError, ValueError("the secret plan"), None)
    log_record = logging.LogRecord(
        "livekit.agents", 30, pathname, 7, "no audio for text: %s", ("the secret plan",), error
    )
    log_record.data = {"transcript": "the secret plan"}
    return log_record


def test_a_log_record_of_the_speech_pipeline_keeps_its_location_and_no_transcript() -> None:
    record = make_record("/x/livekit/agents/tts/tts.py")
    assert RedactionFilter().filter(record)
    formatted = logging.Formatter().format(record) + str(vars(record))
    assert "secret" not in formatted and "line 7 ValueError" in formatted


def test_a_log_record_of_the_worker_is_unchanged() -> None:
    record = make_record("/x/livekit/agents/worker.py")
    assert RedactionFilter().filter(record) and "secret" in record.getMessage()
