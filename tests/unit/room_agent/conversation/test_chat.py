"""The inbox holds early messages in order, limits floods to their sender, and counts each message once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit import rtc

from room_agent.conversation import chat, chat_limits
from room_agent.conversation.chat import ChatInbox, ReceivedMessage, most_frequent
from room_agent.conversation.chat_limits import TOPIC
from tests.unit.room_agent.conversation.test_chat_limits import FakeStream


@pytest.fixture(autouse=True)
def unknown_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no sender: the room is empty."""
    monkeypatch.setattr(chat, "SENDER_TIMEOUT_S", 0.0)


@dataclass
class InboxHarness:
    """An inbox in an empty room, with the messages and notices it produced."""

    now_s: float = 0.0
    notices: list[tuple[str, str]] = field(default_factory=list)
    delivered: list[ReceivedMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = rtc.Room()
        self.inbox = ChatInbox(
            self.room, lambda text, recipient: self.notices.append((recipient, text)), lambda: self.now_s
        )

    def send(self, sender: str, *chunks: str, ending: str = "end") -> FakeStream:
        stream = FakeStream(*chunks, ending=ending)
        self.room._text_stream_handlers[TOPIC](stream, sender)  # type: ignore[arg-type]
        return stream

    def counts(self) -> dict[str, float]:
        return {name.removeprefix("chat_"): count for name, count in self.inbox.counts.report().items() if count}


async def let_tasks_run() -> None:
    await asyncio.sleep(0.01)


async def test_early_messages_are_held_in_order() -> None:
    harness = InboxHarness()
    for text in ("one", "two"):
        harness.send("ann", text)
        await let_tasks_run()
    assert harness.counts() == {}
    harness.inbox.deliver(harness.delivered.append)
    harness.send("bob", "three")
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["one", "two", "three"] and harness.counts() == {
        "taken": 3
    }


async def test_a_held_message_that_the_predecessor_received_is_not_delivered_again() -> None:
    harness = InboxHarness()
    for text in ("one", "two", "two"):
        harness.send("ann", text)
        await let_tasks_run()
    harness.inbox.deliver(harness.delivered.append, [("ann", "two"), ("bob", "one")])
    assert [message.text for message in harness.delivered] == ["one", "two"]
    assert [message.text for message in harness.inbox.last] == ["one", "two"]


async def test_the_busiest_sender_loses_their_oldest_early_message_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "MAX_EARLY", 3)
    harness = InboxHarness()
    for sender, text in (("ann", "a question"), ("mallory", "1"), ("mallory", "2"), ("mallory", "3")):
        harness.send(sender, text)
        await let_tasks_run()
    harness.inbox.deliver(harness.delivered.append)
    assert [message.text for message in harness.delivered] == ["a question", "2", "3"]
    assert harness.counts() == {"taken": 3, "too_early": 1} and [recipient for recipient, _ in harness.notices] == [
        "mallory"
    ]


async def test_undelivered_and_incomplete_messages_are_counted_at_close() -> None:
    harness = InboxHarness()
    harness.send("ann", "hello")
    await let_tasks_run()
    stream = harness.send("bob", "half a", ending="stop")
    await let_tasks_run()
    await harness.inbox.aclose()
    assert harness.counts() == {"too_early": 1, "not_whole": 1} and stream.closed
    assert TOPIC not in harness.room._text_stream_handlers


async def test_endless_streams_are_bounded_per_sender_and_do_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_limits, "MAX_OPEN_PER_SENDER", 2)
    monkeypatch.setattr(chat_limits, "READ_TIMEOUT_S", 0.1)
    harness = InboxHarness()
    harness.inbox.deliver(harness.delivered.append)
    streams = [harness.send(f"m{number}", ending="stop") for number in range(8) for _ in range(5)]
    harness.send("ann", "do you hear me?")
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["do you hear me?"]
    assert harness.counts() == {"taken": 1, "too_many_at_once": 24} and sum(stream.closed for stream in streams) == 24
    await asyncio.sleep(0.2)
    assert harness.counts()["not_whole"] == 16 and all(stream.closed for stream in streams)


async def test_a_sender_s_messages_keep_their_order_though_the_first_ends_last() -> None:
    harness = InboxHarness()
    harness.inbox.deliver(harness.delivered.append)
    first = harness.send("ann", "What is the total?", ending="wait")
    harness.send("ann", "For March!")
    harness.send("bob", "Hello.")
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["Hello."]
    first.may_end.set()
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["Hello.", "What is the total?", "For March!"]


async def test_the_busiest_sender_loses_their_oldest_message_when_the_inbox_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "MAX_OPEN", 4)
    harness = InboxHarness()
    harness.inbox.deliver(harness.delivered.append)
    other, first, *later = [harness.send(sender, ending="stop") for sender in ("cat", "mallory", "mallory", "mallory")]
    harness.send("ann", "one")
    harness.send("bob", "two")
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["one", "two"] and harness.counts() == {
        "taken": 2,
        "too_many_at_once": 2,
    }
    assert first.closed and later[0].closed and not later[1].closed and not other.closed
    assert [recipient for recipient, _ in harness.notices] == ["mallory"]
    await harness.inbox.aclose()


async def test_a_flood_is_counted_unread_and_its_sender_is_notified_once_in_ten_seconds() -> None:
    harness = InboxHarness()
    harness.inbox.deliver(harness.delivered.append)
    streams = [harness.send("mallory", f"spam {number}") for number in range(300)]
    await let_tasks_run()
    assert harness.counts() == {"taken": 5, "too_often": 295} and sum(stream.chunks_read for stream in streams) == 5
    assert all(stream.closed for stream in streams) and len(harness.notices) == 1
    harness.now_s = 11.0
    for _ in range(9):
        harness.send("mallory", "spam")
    assert len(harness.notices) == 2


async def test_a_message_waits_a_limited_time_for_its_sender_to_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SENDER_TIMEOUT_S", 0.2)
    harness = InboxHarness()
    harness.inbox.deliver(harness.delivered.append)
    participant: Any = object()
    for sender, text in (("ann", "one"), ("ann", "two"), ("gone", "three")):
        harness.send(sender, text)
    await let_tasks_run()
    assert harness.delivered == []
    harness.room._remote_participants["ann"] = participant
    harness.room.emit("participant_connected", participant)
    await let_tasks_run()
    assert [message.text for message in harness.delivered] == ["one", "two"]
    await asyncio.sleep(0.3)
    assert [message.text for message in harness.delivered] == ["one", "two", "three"]


async def test_an_empty_message_is_counted_without_a_notice() -> None:
    harness = InboxHarness()
    harness.send("ann", "\u200b")
    await let_tasks_run()
    assert harness.counts() == {"empty": 1} and harness.notices == []


def test_of_equally_frequent_identities_the_first_is_returned() -> None:
    assert most_frequent(["ann", "bob", "bob", "ann"]) == "ann" and most_frequent(["ann", "bob", "bob"]) == "bob"
