"""Receives a room's chat from the moment the agent joins, and holds messages until a receiver is set."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

from room_agent.conversation.chat_limits import (
    MAX_EARLY,
    READ_TIMEOUT_S,
    TOPIC,
    ChatCounts,
    ChatLimits,
    ChatOutcome,
    StreamReader,
    read_message,
    refusal_text,
)
from room_agent.core.participants import Participants
from room_agent.core.tasks import log_task_end

CLOSE_TIMEOUT_S = 5.0
MAX_LAST = 64
MAX_OPEN = 64
"""Messages being read at once."""
SENDER_TIMEOUT_S = 5.0
"""The longest wait for a sender to appear among the participants: a message may arrive seconds earlier."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A complete message and the time of its arrival."""

    identity: str
    text: str = field(repr=False)
    received_at_s: float


class ChatInbox:
    """One room's chat, from construction to `aclose`. Senders of rejected messages are notified."""

    def __init__(
        self,
        room: rtc.Room,
        notify: Callable[[str, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._room = room
        self._participants = Participants(room, clock)
        self._notify = notify
        self._clock = clock
        self._limits = ChatLimits()
        self._receiver: Callable[[ReceivedMessage], None] | None = None
        self._early: deque[ReceivedMessage] = deque()
        self._reading: dict[asyncio.Task[None], str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = ChatCounts()
        self.last: deque[ReceivedMessage] = deque(maxlen=MAX_LAST)
        """The last messages passed on, for a successor."""
        self._newcomer = asyncio.Event()
        room.on("participant_connected", self._on_newcomer)
        room.register_text_stream_handler(TOPIC, self._on_stream)

    def deliver(self, receiver: Callable[[ReceivedMessage], None], answered: Iterable[tuple[str, str]] = ()) -> None:
        """Pass the held messages on, in order, and from now on each message as it arrives.

        Held messages that a predecessor received too are left out: `answered` has their identities and texts.
        """
        self._receiver, twice = receiver, Counter(answered)
        while self._early:
            message = self._early.popleft()
            if twice[message.identity, message.text] > 0:
                twice[message.identity, message.text] -= 1
            else:
                self._pass_on(message)

    async def aclose(self) -> None:
        """Stop receiving. Unread and undelivered messages are counted when this returns."""
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
        outcome = self._limits.refused(identity, open_now, self._clock())
        if outcome is not None:
            reader.close()
            self._refuse(outcome, identity)
            return
        if len(self._reading) >= MAX_OPEN:
            self._make_room()
        earlier = {task for task, sender in self._reading.items() if sender == identity}
        task = asyncio.create_task(self._read(reader, identity, earlier), name="chat")
        self._reading[task] = identity
        self._tasks.add(task)
        # A callback, not `finally` in the task: a task cancelled before it starts runs no code of its own.
        task.add_done_callback(lambda task: self._on_read_end(task, reader))

    async def _read(self, reader: StreamReader, identity: str, earlier: Set[asyncio.Task[None]]) -> None:
        """Read a message, and pass it on after the sender's earlier ones, which were begun before it."""
        verdict = await read_message(reader)
        if not verdict.taken:
            self._refuse(verdict.outcome, identity)
            return
        message = ReceivedMessage(identity, verdict.text, self._clock())
        await self._wait_for_sender(identity)
        # The SDK wakes a reader that waits for its end later than one that finds it there, so that two messages which
        # arrive together would change places. Each has its deadline, and delays its own sender only.
        if earlier:
            await asyncio.wait(earlier, timeout=READ_TIMEOUT_S + SENDER_TIMEOUT_S)
        self._pass_on(message)

    def _on_newcomer(self, *_: Any) -> None:
        self._newcomer.set()
        self._newcomer = asyncio.Event()

    async def _wait_for_sender(self, identity: str) -> None:
        """Wait until the sender is among the participants, but not for ever: they may have left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SENDER_TIMEOUT_S):
                while identity not in self._participants:
                    await self._newcomer.wait()

    def _pass_on(self, message: ReceivedMessage) -> None:
        if self._receiver is not None:
            self.counts.count("taken")
            self.last.append(message)
            self._receiver(message)
            return
        self._early.append(message)
        if len(self._early) > MAX_EARLY:
            busiest = most_frequent(message.identity for message in self._early)
            oldest = next(message for message in self._early if message.identity == busiest)
            self._early.remove(oldest)
            self._refuse("too early", busiest)

    def _make_room(self) -> None:
        """Stop reading the oldest message of the sender with most open ones: a flood displaces only itself."""
        busiest = most_frequent(self._reading.values())
        oldest = next(task for task, identity in self._reading.items() if identity == busiest)
        if self._stop(oldest, "too many at once"):
            self._explain("too many at once", busiest)

    def _stop(self, task: asyncio.Task[None], outcome: ChatOutcome) -> bool:
        del self._reading[task]
        stopped = task.cancel()
        if stopped:
            self.counts.count(outcome)
        return stopped

    def _on_read_end(self, task: asyncio.Task[None], reader: StreamReader) -> None:
        reader.close()
        self._reading.pop(task, None)
        self._tasks.discard(task)
        log_task_end(task)

    def _refuse(self, outcome: ChatOutcome, identity: str) -> None:
        self.counts.count(outcome)
        self._explain(outcome, identity)

    def _explain(self, outcome: ChatOutcome, identity: str) -> None:
        """Notify a sender of a rejected message, at a limited rate. Agents get none: one could reply for ever."""
        text = refusal_text(outcome)
        if text and not self._participants.is_agent(identity) and self._limits.may_notify(identity, self._clock()):
            self._notify(text, identity)


def most_frequent(identities: Iterable[str]) -> str:
    """Return the identity that occurs most often; of several the first."""
    return Counter(identities).most_common(1)[0][0]
