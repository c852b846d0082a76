"""Messages are short, clean, and at each participant's own rate; a flood is its sender's loss alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from room_agent.chat import Chat, ChatSettings, Verdict
from tests.unit.room_agent.nasty import nasty


class Stream:
    """A text stream that says how far it was read; it may stop, or break, after its pieces."""

    def __init__(self, *pieces: str, then: str = "end") -> None:
        self.pieces = pieces
        self.then = then
        self.read = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            self.read += 1
            yield piece
        if self.then == "stop":
            await asyncio.Event().wait()
        if self.then == "break":
            raise ConnectionError("aborted by the sender")

    def close(self) -> None:
        self.closed += 1


def test_a_message_is_taken_without_its_control_characters() -> None:
    chat = Chat()
    assert (
        chat.decide("what\x00 is\u202e on\r\nthe slide \U0001f600?", "ann", 0.0).text
        == "what is on\nthe slide \U0001f600?"
    )
    assert chat.counts.taken == 1


@pytest.mark.parametrize("message", ["", "  \n", "\x00\x1b\x07" * 100, "\u200b\u202e\ufeff"])
def test_a_message_of_nothing_is_empty(message: str) -> None:
    chat = Chat()
    assert chat.decide(message, "ann", 0.0) == Verdict("empty") and chat.counts.empty == 1


def test_a_message_that_is_too_long_is_not_taken_in_part() -> None:
    chat = Chat(ChatSettings(max_bytes=100))
    assert chat.decide("x" * 100, "ann", 0.0).taken
    assert chat.decide("x" * 101, "ann", 0.0) == Verdict("too long")
    assert chat.decide("\u20ac" * 34, "ann", 0.0) == Verdict("too long")
    assert chat.counts.too_long == 2


def test_a_participant_may_write_some_at_once_and_then_one_at_a_time() -> None:
    chat = Chat(ChatSettings(burst=3, every_s=2.0))
    assert [chat.decide("hi", "ann", 0.0).taken for _ in range(5)] == [True, True, True, False, False]
    assert [chat.decide("hi", "ann", now_s).taken for now_s in (1.9, 2.0, 2.1, 60.0)] == [False, True, False, True]
    assert (chat.counts.taken, chat.counts.too_often) == (5, 4)


def test_a_flood_silences_nobody_but_its_sender() -> None:
    chat = Chat()
    taken = 0
    for message in range(10_000):
        now_s = message / 100
        chat.decide("spam", "mallory", now_s)
        if message % 1_000 == 0:
            taken += chat.decide("a question", "ann", now_s).taken
    assert taken == 10
    assert chat.counts.taken - taken <= 5 + 100 / 2 + 1


def test_a_clock_that_steps_back_gives_nothing_away_and_breaks_nothing() -> None:
    chat = Chat(ChatSettings(burst=1))
    assert [chat.decide("hi", "ann", now_s).taken for now_s in (100.0, 50.0, 51.9, 52.0)] == [True, False, False, True]


def test_so_many_senders_are_remembered_and_no_more() -> None:
    chat = Chat(ChatSettings(max_senders=8, burst=1))
    for sender in range(8):
        chat.decide("hi", f"p-{sender}", 0.0)
    assert not chat.decide("hi", "p-0", 0.0).taken
    chat.decide("hi", "newcomer", 0.0)
    # The one who wrote longest ago was forgotten, and so is new.
    assert chat.decide("hi", "p-1", 0.0).taken and not chat.decide("hi", "p-0", 0.0).taken


async def test_a_stream_is_read_and_closed() -> None:
    stream = Stream("what is ", "this")
    assert (await Chat().receive(stream, "ann", 0.0)).text == "what is this"
    assert stream.closed == 1


async def test_a_megabyte_is_read_no_further_than_a_message_may_be_long() -> None:
    chat, stream = Chat(), Stream(*["x" * 1_000] * 1_000)
    assert await chat.receive(stream, "ann", 0.0) == Verdict("too long")
    assert stream.read == 9 and stream.closed == 1


async def test_a_stream_beyond_the_rate_is_not_read_at_all() -> None:
    chat, streams = Chat(ChatSettings(burst=1)), [Stream("hi"), Stream("hi")]
    verdicts = [await chat.receive(stream, "ann", 0.0) for stream in streams]
    assert [verdict.why for verdict in verdicts] == ["taken", "too often"]
    assert [stream.read for stream in streams] == [1, 0] and streams[1].closed == 1


@pytest.mark.parametrize("then", ["stop", "break"])
async def test_a_stream_that_stops_or_breaks_off_is_not_whole(then: str) -> None:
    chat, stream = Chat(ChatSettings(read_timeout_s=0.05)), Stream("half a", then=then)
    assert await chat.receive(stream, "ann", 0.0) == Verdict("not whole")
    assert stream.closed == 1 and chat.counts.report()["chat_not_whole"] == 1


def test_every_message_is_counted_once() -> None:
    chat, dice = Chat(), random.Random(23)
    for message in range(1_000):
        verdict = chat.decide(nasty(dice, "5d0c3a91e27b", 60), f"p-{dice.randint(0, 9)}", message / 10)
        assert verdict.taken == bool(verdict.text) and "\x00" not in verdict.text
    assert sum(chat.counts.report().values()) == 1_000
