"""The guard ends the loop of one room in a process of several, and no other loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from room_agent.host.room_guard import CHECK_EVERY_S, STALLED_S, RoomGuard
from tests.support.eventually import eventually
from tests.support.manual_clock import ManualClock


class RoomThread:
    """A thread with a loop, as livekit-agents runs a job where jobs share a process."""

    def __init__(self, guard: RoomGuard, name: str, work: Callable[[], None] | None = None) -> None:
        self.left: list[str] = []
        self._guarded = threading.Event()
        self._guard, self._name, self._work = guard, name, work
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self._guarded.wait(10)

    async def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        await asyncio.to_thread(self.thread.join)

    def _run(self) -> None:
        # As the thread itself does, which pytest reports as an error.
        with suppress(SystemExit):
            asyncio.run(self._job())

    async def _job(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._guard.watch(self._name, f"tenant_acme_{self._name}", self.left.append)
        self._guarded.set()
        if self._work is not None:
            self._work()
        await self._ended.wait()


def _spin_forever() -> None:
    while True:
        pass


async def test_a_stalled_room_is_ended_alone() -> None:
    clock, retired = ManualClock(0.0), list[bool]()
    guard = RoomGuard(clock, lambda: retired.append(True))
    good, bad = RoomThread(guard, "good"), RoomThread(guard, "bad", _spin_forever)
    while clock.now_s < STALLED_S:
        clock.now_s += CHECK_EVERY_S
        guard.check({}, 100.0)
        await asyncio.sleep(0.05)
    await eventually(lambda: not bad.thread.is_alive())
    assert good.thread.is_alive() and not good.left and not retired
    await good.end()


async def test_a_pause_of_the_whole_process_ends_no_room() -> None:
    clock, retired = ManualClock(0.0), list[bool]()
    guard = RoomGuard(clock, lambda: retired.append(True))
    room = RoomThread(guard, "paused")
    guard.check({}, 100.0)
    clock.now_s += 10 * STALLED_S
    guard.check({}, 100.0)
    await asyncio.sleep(0.1)
    assert room.thread.is_alive()
    guard.check({}, 100_000.0)
    guard.check({}, 100_000.0)
    assert retired == [True]
    await room.end()
