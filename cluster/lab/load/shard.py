"""Run a shard, a part of a load's rooms, in one process: a child of the driver or a Ray task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.lab.load.room_screen import DrawnScreen, ReplayedScreen, RoomScreen, ScreenRenderer
from cluster.lab.load.synthetic_room import RoomPlan, SyntheticRoom, question_times
from cluster.lab.load.tally import Progress, ShardCounts, Tally
from cluster.lab.load.timed_client import TimedRouterClient, connected
from cluster.lab.scenario.arrivals import Ints, ScheduledRooms, tenant_name
from cluster.lab.scenario.recorded_screens import LONG_SIDE_PX, RecordedScreens, load_recordings, script_of
from cluster.lab.scenario.scenario import RoomBehaviour
from room_agent.core.router_transport import HttpTransport
from room_agent.video.rate_control import RateControl

REPORT_EVERY_S = 1.0
# By then the requests of the last second are answered.
CLOSES_AFTER_S = 1.5
# For the last answers and the closing of the rooms.
GRACE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shard:
    """The work of one process. `starts_at_s` is by the wall clock, the same for all shards."""

    number: int
    url: str
    agent_key: str = field(repr=False)
    run_id: str
    """Part of every room's name, so that two loads never share a room."""
    starts_at_s: float
    length_s: float
    seed: int
    behaviour: RoomBehaviour
    tenants: int
    rooms: ScheduledRooms
    numbers: Ints
    """Each room's number among all of the load."""
    replay: bool
    recordings_directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """The counts of a shard, and the CPU time of the shard itself."""

    number: int
    counts: ShardCounts
    cpu_s: float
    complete: bool


ReportProgress = Callable[[Progress], None]


async def run_shard(
    shard: Shard, ended: asyncio.Event, report: ReportProgress, recordings: RecordedScreens | None
) -> ShardResult:
    """Run a shard's rooms to the end of the load, or until `ended`; requests in flight then have time to end."""
    started_cpu_s = time.process_time()
    # The wall clock fixes the start for all shards; from then on the monotonic clock is used, which is never set.
    zero_s = time.monotonic() + shard.starts_at_s - time.time()
    tally = Tally(shard.length_s, shard.tenants)

    def clock() -> float:
        return time.monotonic() - zero_s

    async with connected(shard.url) as transport, _screens(shard, recordings) as screen_of:
        rooms = [_room(shard, index, screen_of(index), transport, tally, clock) for index in range(len(shard.rooms))]
        running = [asyncio.create_task(room.run()) for room in rooms]
        reporting = asyncio.create_task(_report_regularly(tally, report))
        try:
            await _wait_all_or_ended(running, ended)
            complete = not ended.is_set()
            for room in rooms:
                room.end()
            if running:
                await asyncio.wait(running, timeout=GRACE_S)
        finally:
            reporting.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, reporting, return_exceptions=True)
    report(tally.progress())
    cpu_s = time.process_time() - started_cpu_s
    return ShardResult(number=shard.number, counts=tally.counts(), cpu_s=cpu_s, complete=complete)


def _room(
    shard: Shard, index: int, screen: RoomScreen, transport: HttpTransport, tally: Tally, clock: Callable[[], float]
) -> SyntheticRoom:
    rooms, number = shard.rooms, int(shard.numbers[index])
    behaviour, tenant = shard.behaviour, int(rooms.tenant[index])
    join_at_s, leave_at_s = float(rooms.join_at_s[index]), float(rooms.leave_at_s[index])
    every_s = behaviour.question_every_s
    questions = question_times(join_at_s, leave_at_s, every_s, (shard.seed, number)) if rooms.talks[index] else []
    plan = RoomPlan(
        room=f"tenant_{tenant_name(tenant)}_{shard.run_id}-{number}",
        tenant=tenant,
        tenant_id=tenant_name(tenant),
        job_id=f"{shard.run_id}-{number}",
        join_at_s=join_at_s,
        leave_at_s=leave_at_s,
        frames_per_second=behaviour.frames_per_second,
        questions_at_s=questions,
        # Spread as the joins are, which are random within their second.
        closes_after_s=CLOSES_AFTER_S * (1 + join_at_s % 1.0) if leave_at_s >= shard.length_s else 0.0,
    )
    pace = None if shard.replay else RateControl(behaviour.frames_per_second)
    router = TimedRouterClient(transport, shard.agent_key, plan.room, plan.job_id, plan.tenant_id, clock)
    return SyntheticRoom(plan, screen, router, tally, clock, time.time, pace)


@asynccontextmanager
async def _screens(shard: Shard, recordings: RecordedScreens | None) -> AsyncIterator[Callable[[int], RoomScreen]]:
    """Yield a function from a room's index to its screen."""
    rooms = shard.rooms
    if shard.replay:
        loaded = recordings or load_recordings(shard.behaviour, shard.recordings_directory)
        yield lambda index: ReplayedScreen(loaded, int(rooms.recording[index]), int(rooms.starts_at[index]))
        return
    with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as executor:
        renderer = ScreenRenderer(
            script=script_of(shard.behaviour.screens), long_side_px=LONG_SIDE_PX, executor=executor
        )
        yield lambda index: DrawnScreen(renderer, int(rooms.recording[index]), int(rooms.starts_at[index]))


async def _wait_all_or_ended(running: list[asyncio.Task[None]], ended: asyncio.Event) -> None:
    """Return when every room has left, or when the load is to end early."""
    waiting = asyncio.create_task(ended.wait())
    # Cancelled below: that ends the wait, not the rooms.
    all_rooms = asyncio.create_task(_wait_all(running))
    await asyncio.wait({waiting, all_rooms}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    all_rooms.cancel()


async def _wait_all(running: list[asyncio.Task[None]]) -> None:
    if running:
        await asyncio.wait(running)


async def _report_regularly(tally: Tally, report: ReportProgress) -> None:
    while True:
        report(tally.progress())
        await asyncio.sleep(REPORT_EVERY_S)


def run_in_loop(
    shard: Shard,
    report: ReportProgress,
    register_end: Callable[[Callable[[], None]], None],
    recordings: RecordedScreens | None,
) -> ShardResult:
    """Run a shard in a new loop. `register_end` receives a thread-safe function that ends the shard early."""

    async def run() -> ShardResult:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            # The loop may already be closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended.set)

        register_end(end)
        return await run_shard(shard, ended, report, recordings)

    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(run())


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it is installed, which halves the driver's own CPU time."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
