"""A room session without an SFU, for the tests of the session and of its speech."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from room_agent.records.recorder import MeetingRecorder, MeetingRoom
from room_agent.session import RoomSession
from room_agent.usage.job_file import JournaledJob
from tests.unit.room_agent.offline import (
    ROOM,
    OfflineNewestFrame,
    OfflinePublication,
    OfflineRoom,
    OfflineRouter,
    until,
)


class SessionHarness:
    """A session in a room without an SFU. Its sleeps end when a test wakes it."""

    def __init__(self, router: OfflineRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.router, self.room = router, OfflineRoom()
        self.session = RoomSession(self.room.as_room, router.client, max_tracks=2)
        self.slept_s: list[float] = []
        self.wake_ups = asyncio.Semaphore(0)
        monkeypatch.setattr("room_agent.video.sampler.NewestFrame", OfflineNewestFrame)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)
        # The jitter's upper end: waits are exact.
        monkeypatch.setattr(random, "uniform", lambda low, high: high)

    async def wake(self) -> None:
        """End the current sleep, and wait for the next one."""
        sleeps = len(self.slept_s)
        self.wake_ups.release()
        await until(lambda: len(self.slept_s) > sleeps)

    async def start(self) -> None:
        self.session.start()
        await until(lambda: self.slept_s)

    async def _sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        await self.wake_ups.acquire()

    def share_screen(self) -> OfflinePublication:
        return self.room.add("ann", "Ann").publish(OfflinePublication("TR_s"))


def recorder_in(directory: Path) -> MeetingRecorder:
    job = JournaledJob(room=ROOM, job_id="job-1", metadata="{}")
    return MeetingRecorder(directory, job, MeetingRoom(sid="RM_1", created_at_s=900.0), "Rayroom", lambda: 1_000.0)
