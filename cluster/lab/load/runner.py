"""Drive a load against a running app, from the first join to the last answer, and sample both."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console

from cluster.lab.load import faults
from cluster.lab.load.app_under_test import AppUnderTest
from cluster.lab.load.cpu import CpuMeter
from cluster.lab.load.local_shards import LocalShards, RoomTarget, split
from cluster.lab.load.progress import ProgressDisplay
from cluster.lab.load.prometheus import AppSamples, PrometheusWatcher
from cluster.lab.load.replica_counter import RunningReplicas
from cluster.lab.load.results import DrivenLoad
from cluster.lab.load.shard import Shard, ShardResult
from cluster.lab.load.tally import Progress, merge_counts
from cluster.lab.scenario.arrivals import ScheduledRooms
from cluster.lab.scenario.recorded_screens import CACHE, load_recordings
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.stack.processes import Processes

SHOW_EVERY_S = 0.5
CPU_EVERY_S = 2.0
ROOMS_A_PROCESS = 400
END_TIMEOUT_S = 60.0
STOP_GRACE_S = 5.0
JOIN_TIMEOUT_S = 60.0
REPLICA_WATCH = "replica-watch"
# The processes of real rooms are excluded from the app's CPU time too.
EXCLUDED_PROCESSES = ("livekit", "agent", "publisher")


class Shards(Protocol):
    """The shards of a load: processes of this machine, or tasks of a cluster."""

    @property
    def pids(self) -> frozenset[int]: ...

    async def start(self, shards: list[Shard]) -> float: ...

    def progress(self) -> Progress: ...

    def end(self) -> None: ...

    async def wait(self) -> None: ...

    async def results(self) -> tuple[list[ShardResult], list[Shard]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """The app, the mode and the processes of a load."""

    app: AppUnderTest
    replay: bool
    processes: int | None
    console: Console
    ended: asyncio.Event
    """Set to end the load early."""
    directory: Path
    run_id: str = field(default_factory=lambda: f"l{secrets.token_hex(3)}")


async def drive(
    options: DriveOptions,
    scenario: Scenario,
    rooms: ScheduledRooms,
    tenants: int,
    processes: Processes,
    shards: Shards | None = None,
) -> DrivenLoad:
    """Run the load and return its counts; raises DriverFailed, or StartFailed when a part of the app ended."""
    if options.replay:
        await asyncio.to_thread(load_recordings, scenario.rooms)
    target = RoomTarget(
        url=options.app.url,
        agent_key=options.app.agent_key,
        run_id=options.run_id,
        recordings_directory=CACHE.resolve(),
        replay=options.replay,
    )
    count = options.processes or processes_for(len(rooms), options.replay)
    active_shards = shards or LocalShards(processes, options.directory)
    # A callable, because the set of other processes grows after this line; it is evaluated at each sample.
    meter = CpuMeter(
        lambda: active_shards.pids | options.app.excluded_pids | watcher_pids | processes.pids(EXCLUDED_PROCESSES)
    )
    replicas, watcher_pids = await _count_replicas(options.app, processes)
    cpu_began_s, samples = time.process_time(), AppSamples()
    starts_at_s = await active_shards.start(split(scenario, rooms, tenants, target, count))
    zero_s = time.monotonic() + starts_at_s - time.time()

    def clock() -> float:
        return time.monotonic() - zero_s

    meter.begin()
    watcher = PrometheusWatcher(options.app.metrics_urls, lambda: replicas.counts, samples, clock)
    async with _concurrently([watcher.run(), _meter(meter), *_faults(options, scenario, samples, clock)]):
        await _show_until_ended(options, scenario, active_shards, processes, clock)
        elapsed_s = min(scenario.length_s, max(clock(), 1.0))
        await _all_ended(active_shards)
    meter.sample()
    await processes.stop(REPLICA_WATCH, STOP_GRACE_S)
    results, lost = await active_shards.results()
    for shard in lost:
        samples.event(elapsed_s, "node", f"shard {shard.number}", f"lost, with {len(shard.rooms)} rooms")
    return DrivenLoad(
        scenario=scenario,
        rooms=_remaining_rooms(rooms, lost),
        tenants=tenants,
        counts=merge_counts([result.counts for result in results]),
        samples=samples,
        elapsed_s=elapsed_s,
        lost_rooms=sum(len(shard.rooms) for shard in lost),
        driver_cpu_s=sum(result.cpu_s for result in results) + time.process_time() - cpu_began_s,
        app_cpu_s=meter.cpu_s if options.app.is_ours else None,
    )


def processes_for(rooms: int, replay: bool) -> int:
    """Return the number of processes for this many rooms: drawing screens needs every CPU, replaying does not."""
    cpus = len(os.sched_getaffinity(0))
    return max(1, min(cpus, math.ceil(rooms / ROOMS_A_PROCESS) if replay else cpus))


def _faults(
    options: DriveOptions, scenario: Scenario, samples: AppSamples, clock: Callable[[], float]
) -> list[Coroutine[Any, Any, None]]:
    """Return the coroutine that switches the vendors' faults on and off, if the app uses the emulator."""
    if options.app.faults_url is None:
        return []
    return [faults.apply_faults(options.app.faults_url, scenario.vendors.faults, clock, samples)]


async def _count_replicas(app: AppUnderTest, processes: Processes) -> tuple[RunningReplicas, frozenset[int]]:
    """Start a process that counts the app's replicas, if its Ray cluster can be joined; return counts and pids."""
    replicas = RunningReplicas()
    if app.ray_address is None:
        return replicas, frozenset()
    command = [sys.executable, "-m", "cluster.lab.load.replica_counter", app.ray_address]
    # The Ray node started here needs no token, even if this machine has one.
    environment = {"RAY_AUTH_MODE": "disabled"} if app.is_ours else {}
    process = await processes.start(REPLICA_WATCH, command, environment, piped=True)
    assert process.stdout is not None
    replicas.reader_task = asyncio.create_task(replicas.read(process.stdout))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            await replicas.first_report.wait()
    return replicas, frozenset({process.pid})


@asynccontextmanager
async def _concurrently(coroutines: list[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these while the body runs; an exception in one of them ends the body."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


async def _meter(meter: CpuMeter) -> None:
    while True:
        await asyncio.sleep(CPU_EVERY_S)
        await asyncio.to_thread(meter.sample)


async def _show_until_ended(
    options: DriveOptions, scenario: Scenario, active_shards: Shards, processes: Processes, clock: Callable[[], float]
) -> None:
    """Show the progress until every shard has ended or the load ends early."""
    waiting = asyncio.create_task(active_shards.wait())
    try:
        with ProgressDisplay(options.console, scenario.name, scenario.length_s) as display:
            while not waiting.done() and not options.ended.is_set():
                display.show(clock(), active_shards.progress(), options.ended.is_set())
                _check(processes)
                await asyncio.wait({waiting}, timeout=SHOW_EVERY_S)
            display.show(clock(), active_shards.progress(), True)
    finally:
        waiting.cancel()


def _check(processes: Processes) -> None:
    """Raise StartFailed when a part of the app has ended; the end of a shard is no failure."""
    processes.check(("ray", "serve", "emulator", "livekit", "agent"))


async def _all_ended(active_shards: Shards) -> None:
    active_shards.end()
    async with asyncio.timeout(END_TIMEOUT_S):
        await active_shards.wait()


def _remaining_rooms(rooms: ScheduledRooms, lost: list[Shard]) -> ScheduledRooms:
    """Return the rooms of the shards that were not lost."""
    kept = np.ones(len(rooms), np.bool_)
    for shard in lost:
        kept[shard.numbers] = False
    return ScheduledRooms(
        join_at_s=rooms.join_at_s[kept],
        leave_at_s=rooms.leave_at_s[kept],
        tenant=rooms.tenant[kept],
        recording=rooms.recording[kept],
        starts_at=rooms.starts_at[kept],
        talks=rooms.talks[kept],
    )
