"""Collect the heartbeats of rooms for 20 ms, so that one actor call carries many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from routing.errors import RoomClosed
from routing.models import RoomHeartbeat, Spending

BATCH_WINDOW_S = 0.02
"""An actor call costs about a millisecond on each side, and a heartbeat's reply is not urgent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReceipt:
    """The reply to heartbeats: the spend of each room and its tenant, and the rooms that their jobs had closed."""

    spent: Mapping[str, Spending]
    """By room."""
    closed_rooms: frozenset[str]


SendHeartbeats = Callable[[list[RoomHeartbeat]], Awaitable[HeartbeatReceipt]]


class HeartbeatBatcher:
    """The pending heartbeats of one replica. Only a room's newest is sent: its counters are running totals."""

    def __init__(self, send: SendHeartbeats, window_s: float = BATCH_WINDOW_S) -> None:
        self._send = send
        self._window_s = window_s
        self._pending: dict[str, RoomHeartbeat] = {}
        self._next_call: asyncio.Task[HeartbeatReceipt] | None = None
        """The task that sends them."""
        self._sending: set[asyncio.Task[HeartbeatReceipt]] = set()
        """That task, and the tasks whose calls are under way."""

    async def beat(self, heartbeat: RoomHeartbeat) -> Spending | None:
        """Return the tenant's spend once the aggregator has the heartbeat, or None where the reply lacks it.

        Raises RoomClosed where the job has closed the room, or the error of the call.
        """
        self._pending[heartbeat.room] = heartbeat
        if self._next_call is None:
            self._next_call = asyncio.create_task(self._send_after_window(), name="heartbeats")
            self._sending.add(self._next_call)
            self._next_call.add_done_callback(self._call_done)
        # Shielded: one cancelled caller must not cancel the heartbeats of the others.
        receipt = await asyncio.shield(self._next_call)
        if heartbeat.room in receipt.closed_rooms:
            raise RoomClosed(param="authorization")
        return receipt.spent.get(heartbeat.room)

    def drop(self, room: str, job_id: str) -> None:
        """Drop a job's pending heartbeat: the room is closed, and a late heartbeat would open it again."""
        if room in self._pending and self._pending[room].job_id == job_id:
            del self._pending[room]

    async def aclose(self) -> None:
        """Wait for the calls under way; each has its own deadline."""
        if self._sending:
            await asyncio.wait(self._sending)

    async def _send_after_window(self) -> HeartbeatReceipt:
        await asyncio.sleep(self._window_s)
        # A heartbeat that arrives from here on goes with the next call.
        heartbeats, self._pending, self._next_call = list(self._pending.values()), {}, None
        return await self._send(heartbeats) if heartbeats else HeartbeatReceipt(spent={}, closed_rooms=frozenset())

    def _call_done(self, call: asyncio.Task[HeartbeatReceipt]) -> None:
        self._sending.discard(call)
        # Read the exception: when every caller has left, asyncio would log it as never retrieved.
        if not call.cancelled():
            call.exception()
