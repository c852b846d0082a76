"""Receives a room's chat from the moment the agent joins, and keeps it until somebody takes it. Answers nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

from room_agent.conversation.chat_limits import (
    TOPIC,
    ChatCounts,
    ChatLimits,
    ChatSettings,
    StreamReader,
    Why,
    read,
    refusal,
)
from room_agent.core.participants import Participants
from room_agent.core.tasks import log_task_end

CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ChatMessageRead:
    """A message that is read, and when it was whole."""

    identity: str
    text: str = field(repr=False)
    at_s: float


class ChatInbox:
    """One room's chat, from its making to `aclose`; owns every task it starts. Whose message is not read is told so."""

    def __init__(
        self,
        room: rtc.Room,
        tell: Callable[[str, str], None],
        clock: Callable[[], float],
        settings: ChatSettings | None = None,
    ) -> None:
        self._room = room
        self._people = Participants(room, clock)
        self._tell = tell
        self._clock = clock
        self._settings = settings or ChatSettings()
        self._chat = ChatLimits(self._settings)
        self._take: Callable[[ChatMessageRead], None] | None = None
        self._early: deque[ChatMessageRead] = deque()
        self._reading: dict[asyncio.Task[None], str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = ChatCounts()
        self._somebody_came = asyncio.Event()
        room.on("participant_connected", self._on_newcomer)
        room.register_text_stream_handler(TOPIC, self._on_stream)

    def deliver(self, take: Callable[[ChatMessageRead], None]) -> None:
        """Hand over what has been written so far, in its order, and from now on each message as it comes."""
        self._take = take
        while self._early:
            self._give(self._early.popleft())

    async def aclose(self) -> None:
        """Receive no more; what was not read, or not taken by anybody, is counted when this returns."""
        self._room.unregister_text_stream_handler(TOPIC)
        self._room.off("participant_connected", self._on_newcomer)
        for task in [*self._reading]:
            self._stop(task, "not whole")
        for _ in self._early:
            self.counts.count("too early")
        self._early.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)

    def _on_stream(self, reader: StreamReader, identity: str) -> None:
        open_now = sum(sender == identity for sender in self._reading.values())
        why = self._chat.refused(identity, open_now, self._clock())
        if why is not None:
            reader.close()
            self._refuse(why, identity)
            return
        if len(self._reading) >= self._settings.most_open_in_all:
            self._make_room()
        task = asyncio.create_task(self._read(reader, identity), name="chat")
        self._reading[task] = identity
        self._tasks.add(task)
        # Also where it is stopped before it begins.
        task.add_done_callback(lambda task: self._done(task, reader))

    async def _read(self, reader: StreamReader, identity: str) -> None:
        verdict = await read(reader, self._settings)
        if not verdict.taken:
            self._refuse(verdict.why, identity)
            return
        written = ChatMessageRead(identity, verdict.text, self._clock())
        await self._until_known(identity)
        self._give(written)

    def _on_newcomer(self, *_: Any) -> None:
        self._somebody_came.set()
        self._somebody_came = asyncio.Event()

    async def _until_known(self, identity: str) -> None:
        """Wait until the room says who somebody is, but not for ever: they may have left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.known_within_s):
                while identity not in self._people:
                    await self._somebody_came.wait()

    def _give(self, written: ChatMessageRead) -> None:
        if self._take is not None:
            self.counts.count("taken")
            self._take(written)
            return
        self._early.append(written)
        if len(self._early) > self._settings.most_early:
            crowds = most_present(one.identity for one in self._early)
            first = next(one for one in self._early if one.identity == crowds)
            self._early.remove(first)
            self._refuse("too early", crowds)

    def _make_room(self) -> None:
        """Stop reading the oldest message of whoever has most open: a flood ends its own."""
        crowds = most_present(self._reading.values())
        oldest = next(task for task, identity in self._reading.items() if identity == crowds)
        if self._stop(oldest, "too many at once"):
            self._say("too many at once", crowds)

    def _stop(self, task: asyncio.Task[None], why: Why) -> bool:
        del self._reading[task]
        stopped = task.cancel()
        if stopped:
            self.counts.count(why)
        return stopped

    def _done(self, task: asyncio.Task[None], reader: StreamReader) -> None:
        reader.close()
        self._reading.pop(task, None)
        self._tasks.discard(task)
        log_task_end(task)

    def _refuse(self, why: Why, identity: str) -> None:
        self.counts.count(why)
        self._say(why, identity)

    def _say(self, why: Why, identity: str) -> None:
        """Tell a sender, now and then, what becomes of their messages. Another agent could answer, and never end."""
        said = refusal(why, self._settings)
        if said and not self._people.is_agent(identity) and self._chat.may_tell(identity, self._clock()):
            self._tell(said, identity)


def most_present(identities: Iterable[str]) -> str:
    """Return whose name is there most often; of several the one that came first."""
    return Counter(identities).most_common(1)[0][0]
