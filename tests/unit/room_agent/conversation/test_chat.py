"""Chat is received from the first moment, in its order; a flood ends its own messages, and each is counted once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from livekit import rtc

from room_agent.conversation.chat import ChatInbox, ChatMessageRead, most_present
from room_agent.conversation.chat_limits import TOPIC, ChatSettings
from tests.unit.room_agent.test_chat import Stream


@dataclass
class Desk:
    """An inbox in a room that nobody has joined, and what came out of it."""

    settings: ChatSettings
    known_within_s: float = 0.0
    now_s: float = 0.0
    told: list[tuple[str, str]] = field(default_factory=list)
    taken: list[ChatMessageRead] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = rtc.Room()
        settings = replace(self.settings, known_within_s=self.known_within_s)
        self.inbox = ChatInbox(self.room, lambda text, to: self.told.append((to, text)), lambda: self.now_s, settings)

    def send(self, sender: str, *pieces: str, then: str = "end") -> Stream:
        stream = Stream(*pieces, then=then)
        self.room._text_stream_handlers[TOPIC](stream, sender)  # type: ignore[arg-type]
        return stream

    def counts(self) -> dict[str, float]:
        return {name.removeprefix("chat_"): count for name, count in self.inbox.counts.report().items() if count}


async def settled() -> None:
    await asyncio.sleep(0.01)


async def test_what_is_written_before_anybody_takes_it_waits_in_its_order() -> None:
    desk = Desk(ChatSettings())
    for text in ("one", "two"):
        desk.send("ann", text)
        await settled()
    assert desk.counts() == {}
    desk.inbox.deliver(desk.taken.append)
    desk.send("bob", "three")
    await settled()
    assert [one.text for one in desk.taken] == ["one", "two", "three"] and desk.counts() == {"taken": 3}


async def test_of_more_than_may_wait_the_busiest_writers_first_is_dropped_and_they_are_told() -> None:
    desk = Desk(ChatSettings(most_early=3))
    for sender, text in (("ann", "a question"), ("mallory", "1"), ("mallory", "2"), ("mallory", "3")):
        desk.send(sender, text)
        await settled()
    desk.inbox.deliver(desk.taken.append)
    assert [one.text for one in desk.taken] == ["a question", "2", "3"]
    assert desk.counts() == {"taken": 3, "too_early": 1} and [to for to, _ in desk.told] == ["mallory"]


async def test_what_nobody_took_until_the_end_is_counted_and_so_is_what_was_not_whole_by_then() -> None:
    desk = Desk(ChatSettings())
    desk.send("ann", "hello")
    await settled()
    stream = desk.send("bob", "half a", then="stop")
    await settled()
    await desk.inbox.aclose()
    assert desk.counts() == {"too_early": 1, "not_whole": 1} and stream.closed
    assert TOPIC not in desk.room._text_stream_handlers


async def test_streams_that_never_end_are_bounded_for_each_sender_and_keep_nobody_else_waiting() -> None:
    desk = Desk(ChatSettings(most_open=2, read_timeout_s=0.1))
    desk.inbox.deliver(desk.taken.append)
    streams = [desk.send(f"m{number}", then="stop") for number in range(8) for _ in range(5)]
    desk.send("ann", "do you hear me?")
    await settled()
    assert [one.text for one in desk.taken] == ["do you hear me?"]
    assert desk.counts() == {"taken": 1, "too_many_at_once": 24} and sum(stream.closed for stream in streams) == 24
    await asyncio.sleep(0.2)
    assert desk.counts()["not_whole"] == 16 and all(stream.closed for stream in streams)


async def test_where_all_places_are_taken_whoever_holds_most_loses_their_oldest() -> None:
    desk = Desk(ChatSettings(most_open_in_all=4))
    desk.inbox.deliver(desk.taken.append)
    cat, first, *others = [desk.send(one, then="stop") for one in ("cat", "mallory", "mallory", "mallory")]
    desk.send("ann", "one")
    desk.send("bob", "two")
    await settled()
    assert [one.text for one in desk.taken] == ["one", "two"] and desk.counts() == {"taken": 2, "too_many_at_once": 2}
    assert first.closed and others[0].closed and not others[1].closed and not cat.closed
    assert [to for to, _ in desk.told] == ["mallory"]
    await desk.inbox.aclose()


async def test_a_flood_is_not_read_is_counted_and_is_told_of_once_in_ten_seconds() -> None:
    desk = Desk(ChatSettings())
    desk.inbox.deliver(desk.taken.append)
    streams = [desk.send("mallory", f"spam {number}") for number in range(300)]
    await settled()
    assert desk.counts() == {"taken": 5, "too_often": 295} and sum(stream.read for stream in streams) == 5
    assert all(stream.closed for stream in streams) and len(desk.told) == 1
    desk.now_s = 11.0
    for _ in range(9):
        desk.send("mallory", "spam")
    assert len(desk.told) == 2


async def test_a_message_that_overtakes_the_news_of_its_sender_waits_for_it_and_not_for_ever() -> None:
    desk = Desk(ChatSettings(), known_within_s=0.2)
    desk.inbox.deliver(desk.taken.append)
    newcomer: Any = object()
    for sender, text in (("ann", "one"), ("ann", "two"), ("gone", "three")):
        desk.send(sender, text)
    await settled()
    assert desk.taken == []
    desk.room._remote_participants["ann"] = newcomer
    desk.room.emit("participant_connected", newcomer)
    await settled()
    assert [one.text for one in desk.taken] == ["one", "two"]
    await asyncio.sleep(0.3)
    assert [one.text for one in desk.taken] == ["one", "two", "three"]


async def test_an_empty_message_is_counted_and_needs_no_word() -> None:
    desk = Desk(ChatSettings())
    desk.send("ann", "\u200b")
    await settled()
    assert desk.counts() == {"empty": 1} and desk.told == []


def test_of_those_who_are_there_equally_often_the_first_is_meant() -> None:
    assert most_present(["ann", "bob", "bob", "ann"]) == "ann" and most_present(["ann", "bob", "bob"]) == "bob"
