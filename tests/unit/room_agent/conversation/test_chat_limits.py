"""Messages are short, clean, and at each participant's own rate; a flood is its sender's loss alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from room_agent.conversation.chat_limits import (
    ChatCounts,
    ChatLimits,
    ChatSettings,
    MessageVerdict,
    Why,
    judged,
    read,
    refusal,
)
from tests.unit.room_agent.nasty import nasty

SETTINGS = ChatSettings()


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
    verdict = judged("what\x00 is\u202e on\r\nthe slide \U0001f600?", SETTINGS)
    assert verdict == MessageVerdict("taken", "what is on\nthe slide \U0001f600?")


@pytest.mark.parametrize(
    "message",
    ["", "  \n", "\x00\x1b\x07" * 100, "\u200b\u202e\ufeff", "\u200d", "\u200c\u200d" * 40, "\ufe0e\u200d \u200c"],
)
def test_a_message_that_shows_nothing_is_empty(message: str) -> None:
    assert judged(message, SETTINGS) == MessageVerdict("empty")


@pytest.mark.parametrize(
    "message", ["\ufe0f", "\u0301", "\u0301" * 9, "\u20e3", "\u2800\u3164", "\x00\x01\x1b[31m" * 50]
)
def test_marks_and_colours_without_a_letter_are_empty(message: str) -> None:
    assert judged(message, SETTINGS) == MessageVerdict("empty")


@pytest.mark.parametrize("message", ["?!", "\u2026", "\U0001f44d", "e\u0301", "\ufffd", "7", "\u2764\ufe0f"])
def test_a_message_that_shows_anything_is_taken(message: str) -> None:
    assert judged(message, SETTINGS).taken


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("\x1b[1;31mred\x1b[0m alert", "red alert"),
        ("\x9b31mred", "red"),
        ("see \x1b]8;;https://example.com\x1b\\this\x1b]8;;\x07 page", "see this page"),
        ("\x1bP1$rq\x1b\\done", "done"),
        ("\x1b(Bplain \x1b7text", "plain text"),
        ("an array[31m] stays", "an array[31m] stays"),
    ],
)
def test_a_terminals_escapes_are_taken_out_whole(message: str, text: str) -> None:
    assert judged(message, SETTINGS).text == text


def test_an_escape_that_does_not_end_hides_nothing_of_what_follows() -> None:
    assert judged("\x1b]what is it?", SETTINGS).text == "what is it?"
    assert judged("\x1b]x" * 2_000, SETTINGS).text == "x" * 2_000


def test_a_message_that_is_too_long_is_not_taken_in_part() -> None:
    settings = ChatSettings(max_bytes=100)
    assert judged("x" * 100, settings).taken
    assert judged("x" * 101, settings) == MessageVerdict("too long")
    assert judged("\u20ac" * 34, settings) == MessageVerdict("too long")


def test_a_participant_may_write_some_at_once_and_then_one_at_a_time() -> None:
    chat = ChatLimits(ChatSettings(burst=3, every_s=2.0))
    assert [chat.refused("ann", 0, 0.0) for _ in range(5)] == [None, None, None, "too often", "too often"]
    late = [chat.refused("ann", 0, now_s) for now_s in (1.9, 2.0, 2.1, 60.0)]
    assert late == ["too often", None, "too often", None]


def test_a_burst_may_be_on_its_way_at_once_and_one_more_is_too_many() -> None:
    chat = ChatLimits(SETTINGS)
    assert [chat.refused("ann", open_now, 0.0) for open_now in range(5)] == [None] * 5
    assert chat.refused("ann", 5, 2.0) == "too many at once" and chat.refused("bob", 0, 2.0) is None


def test_a_flood_silences_nobody_but_its_sender() -> None:
    chat, read_of = ChatLimits(SETTINGS), {"ann": 0, "mallory": 0}
    for message in range(10_000):
        now_s = message / 100
        read_of["mallory"] += chat.refused("mallory", 0, now_s) is None
        if message % 1_000 == 0:
            read_of["ann"] += chat.refused("ann", 0, now_s) is None
    assert read_of["ann"] == 10 and read_of["mallory"] <= 5 + 100 / 2 + 1


def test_a_clock_that_steps_back_gives_nothing_away_and_breaks_nothing() -> None:
    chat = ChatLimits(ChatSettings(burst=1))
    refused = [chat.refused("ann", 0, now_s) for now_s in (100.0, 50.0, 51.9, 52.0)]
    assert refused == [None, "too often", "too often", None]


def test_so_many_senders_are_remembered_and_no_more() -> None:
    chat = ChatLimits(ChatSettings(max_senders=8, burst=1))
    for sender in range(8):
        chat.refused(f"p-{sender}", 0, 0.0)
    assert chat.refused("p-0", 0, 0.0) == "too often"
    chat.refused("newcomer", 0, 0.0)
    # The one who wrote longest ago was forgotten, and so is new.
    assert chat.refused("p-1", 0, 0.0) is None and chat.refused("p-0", 0, 0.0) == "too often"


def test_each_sender_is_told_once_in_ten_seconds() -> None:
    chat = ChatLimits(SETTINGS)
    for sender in ("ann", "bob"):
        chat.refused(sender, 0, 0.0)
    assert [chat.may_tell("ann", now_s) for now_s in (0.0, 0.1, 9.9, 10.0, 10.1)] == [True, False, False, True, False]
    assert chat.may_tell("bob", 0.1)


def test_a_refusal_names_the_limit_and_what_to_do() -> None:
    assert refusal("too long", SETTINGS) == (
        "Your message was not read: it is longer than 8192 bytes. Please write a shorter one."
    )
    whys: tuple[Why, ...] = ("too often", "too many at once", "not whole", "too early")
    assert all("Please" in refusal(why, SETTINGS) for why in whys)
    assert refusal("empty", SETTINGS) == refusal("taken", SETTINGS) == ""


async def test_a_stream_is_read_and_closed() -> None:
    stream = Stream("what is ", "this")
    assert (await read(stream, SETTINGS)).text == "what is this"
    assert stream.closed == 1


async def test_a_megabyte_is_read_no_further_than_a_message_may_be_long() -> None:
    stream = Stream(*["x" * 1_000] * 1_000)
    assert await read(stream, SETTINGS) == MessageVerdict("too long")
    assert stream.read == 9 and stream.closed == 1


@pytest.mark.parametrize("then", ["stop", "break"])
async def test_a_stream_that_stops_or_breaks_off_is_not_whole(then: str) -> None:
    stream = Stream("half a", then=then)
    assert await read(stream, ChatSettings(read_timeout_s=0.05)) == MessageVerdict("not whole")
    assert stream.closed == 1


def test_whatever_is_written_is_either_taken_with_its_text_or_not() -> None:
    counts, rng = ChatCounts(), random.Random(23)
    for _ in range(1_000):
        verdict = judged(nasty(rng, "5d0c3a91e27b", 60), SETTINGS)
        assert verdict.taken == bool(verdict.text) and "\x00" not in verdict.text
        counts.count(verdict.why)
    assert sum(counts.report().values()) == 1_000
