"""Close rooms at once, and on disk before the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from cluster.rooms.closed_rooms import ClosedRoom, ClosedRoomFile
from cluster.rooms.registry import RoomRegistry


class RoomCloser:
    """The registry of the open rooms, in which the rooms that the file names are closed."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._file = ClosedRoomFile(path)
        self._writing = asyncio.Lock()
        self.registry = RoomRegistry.with_closed(self._file.read(clock()))

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        """End the token with which a job opened a room. The token is dead even where the file raises OSError."""
        now_s, closed = self._clock(), ClosedRoom(room=room, job_id=job_id, opened_at_s=opened_at_s)
        self.registry.close(room, job_id, opened_at_s, now_s)
        async with self._writing:
            await asyncio.to_thread(self._file.add, closed, now_s)
