"""Gathers what rooms' agents say for a moment, so that one call carries many of their heartbeats. Knows no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from routing.models import RoomHeartbeat

GATHER_S = 0.02
"""An actor call costs about a millisecond on both sides; nobody waits for a heartbeat's answer."""

Spent = Mapping[str, int]
"""What each tenant has spent this month, in nano-dollars."""
Send = Callable[[list[RoomHeartbeat]], Awaitable[Spent]]


class HeartbeatBatcher:
    """The heartbeats of one replica that are on their way. Of a room only the newest is: its counters are sums."""

    def __init__(self, send: Send, gather_s: float = GATHER_S) -> None:
        self._send = send
        self._gather_s = gather_s
        self._waiting: dict[str, RoomHeartbeat] = {}
        self._next: asyncio.Task[Spent] | None = None
        """What will carry them."""
        self._sending: set[asyncio.Task[Spent]] = set()
        """It, and those whose calls are under way."""

    async def beat(self, beat: RoomHeartbeat) -> int | None:
        """Return, once the aggregator has it, what that said its tenant has spent; raises what the call raised."""
        self._waiting[beat.room] = beat
        if self._next is None:
            self._next = asyncio.create_task(self._send_soon(), name="beats")
            self._sending.add(self._next)
            self._next.add_done_callback(self._sent)
        # Whoever stops waiting takes nobody else's heartbeat along.
        return (await asyncio.shield(self._next)).get(beat.tenant_id)

    def drop(self, room: str, job_id: str) -> None:
        """Forget what a job has still to say of its room: it is closed, and nothing may open it again."""
        if room in self._waiting and self._waiting[room].job_id == job_id:
            del self._waiting[room]

    async def aclose(self) -> None:
        """Let what is on its way arrive; each call has the deadline of whoever makes it."""
        if self._sending:
            await asyncio.wait(self._sending)

    async def _send_soon(self) -> Spent:
        await asyncio.sleep(self._gather_s)
        # Whoever comes from here on needs a call of their own.
        beats, self._waiting, self._next = list(self._waiting.values()), {}, None
        return await self._send(beats) if beats else {}

    def _sent(self, sending: asyncio.Task[Spent]) -> None:
        self._sending.discard(sending)
        # Looked at, for nobody may be left to hear of a failure.
        if not sending.cancelled():
            sending.exception()
