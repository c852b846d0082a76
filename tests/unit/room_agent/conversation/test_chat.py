"""The inbox holds early messages in order, limits floods to their sender, and counts each message once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from livekit import rtc

from room_agent.conversation.chat import ChatInbox, ReceivedMessage, most_frequent
from room_agent.conversation.chat_limits import TOPIC, ChatSettings
from tests.unit.room_agent.conversation.test_chat_limits import FakeStream


@dataclass
class InboxScene:
    """An inbox in an empty room, with the messages and notices it produced."""

    settings: ChatSettings
    known_within_s: float = 0.0
    now_s: float = 0.0
    notices: list[tuple[str, str]] = field(default_factory=list)
    taken: list[ReceivedMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = rtc.Room()
        settings = replace(self.settings, known_within_s=self.known_within_s)
        self.inbox = ChatInbox(
            self.room, lambda text, to: self.notices.append((to, text)), lambda: self.now_s, settings
        )

    def send(self, sender: str, *pieces: str, then: str = "end") -> FakeStream:
        stream = FakeStream(*pieces, then=then)
        self.room._text_stream_handlers[TOPIC](stream, sender)  # type: ignore[arg-type]
        return stream

    def counts(self) -> dict[str, float]:
        return {name.removeprefix("chat_"): count for name, count in self.inbox.counts.report().items() if count}


async def settled() -> None:
    await asyncio.sleep(0.01)


async def test_early_messages_are_held_in_order() -> None:
    scene = InboxScene(ChatSettings())
    for text in ("one", "two"):
        scene.send("ann", text)
        await settled()
    assert scene.counts() == {}
    scene.inbox.deliver(scene.taken.append)
    scene.send("bob", "three")
    await settled()
    assert [one.text for one in scene.taken] == ["one", "two", "three"] and scene.counts() == {"taken": 3}


async def test_the_busiest_sender_loses_their_oldest_early_message_beyond_the_limit() -> None:
    scene = InboxScene(ChatSettings(most_early=3))
    for sender, text in (("ann", "a question"), ("mallory", "1"), ("mallory", "2"), ("mallory", "3")):
        scene.send(sender, text)
        await settled()
    scene.inbox.deliver(scene.taken.append)
    assert [one.text for one in scene.taken] == ["a question", "2", "3"]
    assert scene.counts() == {"taken": 3, "too_early": 1} and [to for to, _ in scene.notices] == ["mallory"]


async def test_undelivered_and_incomplete_messages_are_counted_at_close() -> None:
    scene = InboxScene(ChatSettings())
    scene.send("ann", "hello")
    await settled()
    stream = scene.send("bob", "half a", then="stop")
    await settled()
    await scene.inbox.aclose()
    assert scene.counts() == {"too_early": 1, "not_whole": 1} and stream.closed
    assert TOPIC not in scene.room._text_stream_handlers


async def test_endless_streams_are_bounded_per_sender_and_do_not_block_others() -> None:
    scene = InboxScene(ChatSettings(most_open=2, read_timeout_s=0.1))
    scene.inbox.deliver(scene.taken.append)
    streams = [scene.send(f"m{number}", then="stop") for number in range(8) for _ in range(5)]
    scene.send("ann", "do you hear me?")
    await settled()
    assert [one.text for one in scene.taken] == ["do you hear me?"]
    assert scene.counts() == {"taken": 1, "too_many_at_once": 24} and sum(stream.closed for stream in streams) == 24
    await asyncio.sleep(0.2)
    assert scene.counts()["not_whole"] == 16 and all(stream.closed for stream in streams)


async def test_the_busiest_sender_loses_their_oldest_message_when_the_inbox_is_full() -> None:
    scene = InboxScene(ChatSettings(most_open_in_all=4))
    scene.inbox.deliver(scene.taken.append)
    cat, first, *others = [scene.send(one, then="stop") for one in ("cat", "mallory", "mallory", "mallory")]
    scene.send("ann", "one")
    scene.send("bob", "two")
    await settled()
    assert [one.text for one in scene.taken] == ["one", "two"] and scene.counts() == {"taken": 2, "too_many_at_once": 2}
    assert first.closed and others[0].closed and not others[1].closed and not cat.closed
    assert [to for to, _ in scene.notices] == ["mallory"]
    await scene.inbox.aclose()


async def test_a_flood_is_counted_unread_and_its_sender_is_notified_once_in_ten_seconds() -> None:
    scene = InboxScene(ChatSettings())
    scene.inbox.deliver(scene.taken.append)
    streams = [scene.send("mallory", f"spam {number}") for number in range(300)]
    await settled()
    assert scene.counts() == {"taken": 5, "too_often": 295} and sum(stream.read for stream in streams) == 5
    assert all(stream.closed for stream in streams) and len(scene.notices) == 1
    scene.now_s = 11.0
    for _ in range(9):
        scene.send("mallory", "spam")
    assert len(scene.notices) == 2


async def test_a_message_waits_a_limited_time_for_its_sender_to_appear() -> None:
    scene = InboxScene(ChatSettings(), known_within_s=0.2)
    scene.inbox.deliver(scene.taken.append)
    newcomer: Any = object()
    for sender, text in (("ann", "one"), ("ann", "two"), ("gone", "three")):
        scene.send(sender, text)
    await settled()
    assert scene.taken == []
    scene.room._remote_participants["ann"] = newcomer
    scene.room.emit("participant_connected", newcomer)
    await settled()
    assert [one.text for one in scene.taken] == ["one", "two"]
    await asyncio.sleep(0.3)
    assert [one.text for one in scene.taken] == ["one", "two", "three"]


async def test_an_empty_message_is_counted_without_a_notice() -> None:
    scene = InboxScene(ChatSettings())
    scene.send("ann", "\u200b")
    await settled()
    assert scene.counts() == {"empty": 1} and scene.notices == []


def test_of_equally_frequent_identities_the_first_is_returned() -> None:
    assert most_frequent(["ann", "bob", "bob", "ann"]) == "ann" and most_frequent(["ann", "bob", "bob"]) == "bob"
