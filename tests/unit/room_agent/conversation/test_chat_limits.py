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
from tests.unit.room_agent.hostile_text import hostile_text


class FakeStream:
    """A text stream that counts the chunks read. After its chunks it ends, waits, stalls or breaks."""

    def __init__(self, *chunks: str, ending: str = "end") -> None:
        self.chunks = chunks
        self.ending = ending
        self.chunks_read = 0
        self.closed = 0
        self.may_end = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        for chunk in self.chunks:
            self.chunks_read += 1
            yield chunk
        if self.ending == "wait":
            await self.may_end.wait()
        if self.ending == "stop":
            await asyncio.Event().wait()
        if self.ending == "break":
            raise ConnectionError("aborted by the sender")

    def close(self) -> None:
        self.closed += 1


def test_control_characters_are_removed_from_a_message() -> None:
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
def test_a_visible_message_is_accepted(message: str) -> None:
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
def test_terminal_escapes_are_removed_completely(message: str, text: str) -> None:
    assert check_message(message).text == text


def test_an_unterminated_escape_does_not_hide_the_following_text() -> None:
    assert check_message("\x1b]what is it?").text == "what is it?"
    assert check_message("\x1b]x" * 2_000).text == "x" * 2_000


def test_a_message_above_the_limit_is_rejected_as_a_whole() -> None:
    assert check_message("x" * 8_192).taken
    assert check_message("x" * 8_193) == MessageVerdict("too long")
    assert check_message("\u20ac" * 2_731) == MessageVerdict("too long")


def test_a_sender_may_send_a_burst_and_then_one_message_an_interval() -> None:
    limits = ChatLimits()
    assert [limits.refused("ann", 0, 0.0) for _ in range(7)] == [None] * 5 + ["too often"] * 2
    outcomes = [limits.refused("ann", 0, now_s) for now_s in (1.9, 2.0, 2.1, 60.0)]
    assert outcomes == ["too often", None, "too often", None]


def test_a_sender_may_have_a_burst_of_open_messages_and_no_more() -> None:
    limits = ChatLimits()
    assert [limits.refused("ann", open_now, 0.0) for open_now in range(5)] == [None] * 5
    assert limits.refused("ann", 5, 2.0) == "too many at once" and limits.refused("bob", 0, 2.0) is None


def test_a_flood_limits_only_its_sender() -> None:
    limits, accepted = ChatLimits(), {"ann": 0, "mallory": 0}
    for message in range(10_000):
        now_s = message / 100
        accepted["mallory"] += limits.refused("mallory", 0, now_s) is None
        if message % 1_000 == 0:
            accepted["ann"] += limits.refused("ann", 0, now_s) is None
    assert accepted["ann"] == 10 and accepted["mallory"] <= 5 + 100 / 2 + 1


def test_a_clock_that_steps_back_refills_no_bucket() -> None:
    limits = ChatLimits()
    for _ in range(4):
        limits.refused("ann", 0, 100.0)
    outcomes = [limits.refused("ann", 0, now_s) for now_s in (100.0, 50.0, 51.9, 52.0)]
    assert outcomes == [None, "too often", "too often", None]


def test_the_number_of_buckets_is_bounded() -> None:
    limits = ChatLimits()
    for sender in [f"p-{number}" for number in range(MAX_SENDERS)]:
        for _ in range(5):
            limits.refused(sender, 0, 0.0)
    assert limits.refused("p-0", 0, 0.0) == "too often"
    limits.refused("newcomer", 0, 0.0)
    # The least recently used bucket was dropped, so its sender starts anew.
    assert limits.refused("p-1", 0, 0.0) is None and limits.refused("p-0", 0, 0.0) == "too often"


def test_each_sender_is_notified_once_in_ten_seconds() -> None:
    limits = ChatLimits()
    for sender in ("ann", "bob"):
        limits.refused(sender, 0, 0.0)
    assert [limits.may_notify("ann", now_s) for now_s in (0.0, 0.1, 9.9, 10.0, 10.1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert limits.may_notify("bob", 0.1)


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


async def test_a_long_stream_is_read_only_up_to_the_message_limit() -> None:
    stream = FakeStream(*["x" * 1_000] * 1_000)
    assert await read_message(stream) == MessageVerdict("too long")
    assert stream.chunks_read == 9 and stream.closed == 1


@pytest.mark.parametrize("ending", ["stop", "break"])
async def test_a_stream_that_stalls_or_breaks_is_incomplete(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_limits, "READ_TIMEOUT_S", 0.05)
    stream = FakeStream("half a", ending=ending)
    assert await read_message(stream) == MessageVerdict("not whole")
    assert stream.closed == 1


def test_a_random_message_is_accepted_with_text_or_rejected() -> None:
    counts, rng = ChatCounts(), random.Random(23)
    for _ in range(1_000):
        verdict = check_message(hostile_text(rng, "5d0c3a91e27b", 60))
        assert verdict.taken == bool(verdict.text) and "\x00" not in verdict.text
        counts.count(verdict.outcome)
    assert sum(counts.report().values()) == 1_000
