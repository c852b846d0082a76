"""Chat messages are limited in length and content, and in rate per sender."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from room_agent.conversation import chat_limits
from room_agent.conversation.chat_limits import (
    MAX_SENDERS,
    ChatCounts,
    ChatLimits,
    ChatOutcome,
    MessageVerdict,
    check_message,
    read_message,
    refusal_text,
)
from tests.unit.room_agent.nasty import nasty


class FakeStream:
    """A text stream that counts the pieces read. After its pieces it ends, stops or breaks."""

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
    verdict = check_message("what\x00 is\u202e on\r\nthe slide \U0001f600?")
    assert verdict == MessageVerdict("taken", "what is on\nthe slide \U0001f600?")


@pytest.mark.parametrize(
    "message",
    ["", "  \n", "\x00\x1b\x07" * 100, "\u200b\u202e\ufeff", "\u200d", "\u200c\u200d" * 40, "\ufe0e\u200d \u200c"],
)
def test_an_invisible_message_is_empty(message: str) -> None:
    assert check_message(message) == MessageVerdict("empty")


@pytest.mark.parametrize(
    "message", ["\ufe0f", "\u0301", "\u0301" * 9, "\u20e3", "\u2800\u3164", "\x00\x01\x1b[31m" * 50]
)
def test_marks_and_colours_without_a_letter_are_empty(message: str) -> None:
    assert check_message(message) == MessageVerdict("empty")


@pytest.mark.parametrize("message", ["?!", "\u2026", "\U0001f44d", "e\u0301", "\ufffd", "7", "\u2764\ufe0f"])
def test_a_visible_message_is_taken(message: str) -> None:
    assert check_message(message).taken


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
def test_terminal_escapes_are_removed_whole(message: str, text: str) -> None:
    assert check_message(message).text == text


def test_an_unterminated_escape_does_not_hide_the_following_text() -> None:
    assert check_message("\x1b]what is it?").text == "what is it?"
    assert check_message("\x1b]x" * 2_000).text == "x" * 2_000


def test_a_message_that_is_too_long_is_not_taken_in_part() -> None:
    assert check_message("x" * 8_192).taken
    assert check_message("x" * 8_193) == MessageVerdict("too long")
    assert check_message("\u20ac" * 2_731) == MessageVerdict("too long")


def test_a_participant_may_write_some_at_once_and_then_one_at_a_time() -> None:
    chat = ChatLimits()
    assert [chat.refused("ann", 0, 0.0) for _ in range(7)] == [None] * 5 + ["too often"] * 2
    late = [chat.refused("ann", 0, now_s) for now_s in (1.9, 2.0, 2.1, 60.0)]
    assert late == ["too often", None, "too often", None]


def test_a_burst_may_be_on_its_way_at_once_and_one_more_is_too_many() -> None:
    chat = ChatLimits()
    assert [chat.refused("ann", open_now, 0.0) for open_now in range(5)] == [None] * 5
    assert chat.refused("ann", 5, 2.0) == "too many at once" and chat.refused("bob", 0, 2.0) is None


def test_a_flood_limits_only_its_sender() -> None:
    chat, read_of = ChatLimits(), {"ann": 0, "mallory": 0}
    for message in range(10_000):
        now_s = message / 100
        read_of["mallory"] += chat.refused("mallory", 0, now_s) is None
        if message % 1_000 == 0:
            read_of["ann"] += chat.refused("ann", 0, now_s) is None
    assert read_of["ann"] == 10 and read_of["mallory"] <= 5 + 100 / 2 + 1


def test_a_clock_that_steps_back_refills_nothing() -> None:
    chat = ChatLimits()
    for _ in range(4):
        chat.refused("ann", 0, 100.0)
    refused = [chat.refused("ann", 0, now_s) for now_s in (100.0, 50.0, 51.9, 52.0)]
    assert refused == [None, "too often", "too often", None]


def test_the_number_of_buckets_is_bounded() -> None:
    chat = ChatLimits()
    for sender in [f"p-{number}" for number in range(MAX_SENDERS)]:
        for _ in range(5):
            chat.refused(sender, 0, 0.0)
    assert chat.refused("p-0", 0, 0.0) == "too often"
    chat.refused("newcomer", 0, 0.0)
    # The least recently used bucket was dropped, so its sender starts anew.
    assert chat.refused("p-1", 0, 0.0) is None and chat.refused("p-0", 0, 0.0) == "too often"


def test_each_sender_is_notified_once_in_ten_seconds() -> None:
    chat = ChatLimits()
    for sender in ("ann", "bob"):
        chat.refused(sender, 0, 0.0)
    assert [chat.may_notify("ann", now_s) for now_s in (0.0, 0.1, 9.9, 10.0, 10.1)] == [True, False, False, True, False]
    assert chat.may_notify("bob", 0.1)


def test_a_refusal_names_the_limit_and_the_remedy() -> None:
    assert refusal_text("too long") == (
        "Your message was not read: it is longer than 8192 bytes. Please write a shorter one."
    )
    outcomes: tuple[ChatOutcome, ...] = ("too often", "too many at once", "not whole", "too early")
    assert all("Please" in refusal_text(outcome) for outcome in outcomes)
    assert refusal_text("empty") == refusal_text("taken") == ""


async def test_a_stream_is_read_and_closed() -> None:
    stream = FakeStream("what is ", "this")
    assert (await read_message(stream)).text == "what is this"
    assert stream.closed == 1


async def test_a_megabyte_is_read_no_further_than_a_message_may_be_long() -> None:
    stream = FakeStream(*["x" * 1_000] * 1_000)
    assert await read_message(stream) == MessageVerdict("too long")
    assert stream.read == 9 and stream.closed == 1


@pytest.mark.parametrize("then", ["stop", "break"])
async def test_a_stream_that_stops_or_breaks_off_is_not_whole(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_limits, "READ_TIMEOUT_S", 0.05)
    stream = FakeStream("half a", then=then)
    assert await read_message(stream) == MessageVerdict("not whole")
    assert stream.closed == 1


def test_random_messages_are_either_taken_with_text_or_rejected() -> None:
    counts, rng = ChatCounts(), random.Random(23)
    for _ in range(1_000):
        verdict = check_message(nasty(rng, "5d0c3a91e27b", 60))
        assert verdict.taken == bool(verdict.text) and "\x00" not in verdict.text
        counts.count(verdict.outcome)
    assert sum(counts.report().values()) == 1_000
