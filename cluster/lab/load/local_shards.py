"""Run a load's rooms in processes of this machine, and collect their counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cluster.lab.load.shard import GRACE_S, Shard, ShardResult
from cluster.lab.load.shard_process import READY, packed_shard, packed_start
from cluster.lab.load.tally import Progress, merge_progress
from cluster.lab.scenario.arrivals import ScheduledRooms
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.stack.processes import Processes
from routing.errors import RayroomError

START_TIMEOUT_S = 120.0
LEAD_S = 0.5


class DriverFailed(RayroomError):
    """Every process of the load's driver ended without a result."""

    code = "driver_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomTarget:
    """The app that the rooms use, and the prefix of their names."""

    url: str
    agent_key: str = field(repr=False)
    run_id: str
    recordings_directory: Path
    replay: bool


def split(scenario: Scenario, rooms: ScheduledRooms, tenants: int, destination: RoomTarget, count: int) -> list[Shard]:
    """Distribute the rooms over `count` shards in turn, so that each shard has its part of every moment."""
    return [
        Shard(
            number=number,
            url=destination.url,
            agent_key=destination.agent_key,
            run_id=destination.run_id,
            starts_at_s=0.0,
            length_s=scenario.length_s,
            seed=scenario.seed,
            behaviour=scenario.rooms,
            tenants=tenants,
            rooms=part_of(rooms, number, count),
            numbers=np.arange(number, len(rooms), count),
            replay=destination.replay,
            recordings_directory=destination.recordings_directory,
        )
        for number in range(count)
    ]


def part_of(rooms: ScheduledRooms, number: int, count: int) -> ScheduledRooms:
    """Return every `count`th room, starting at `number`."""
    return ScheduledRooms(
        join_at_s=rooms.join_at_s[number::count],
        leave_at_s=rooms.leave_at_s[number::count],
        tenant=rooms.tenant[number::count],
        recording=rooms.recording[number::count],
        starts_at=rooms.starts_at[number::count],
        talks=rooms.talks[number::count],
    )


@dataclass(slots=True)
class _Child:
    shard: Shard
    process: asyncio.subprocess.Process
    result: Path
    progress: Progress = field(default_factory=Progress)
    reader_task: asyncio.Task[None] | None = None


class LocalShards:
    """Shards as child processes, each with its own event loop."""

    def __init__(self, processes: Processes, directory: Path) -> None:
        self._processes = processes
        self._directory = directory
        self._children: list[_Child] = []

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(child.process.pid for child in self._children)

    async def start(self, shards: Sequence[Shard]) -> float:
        """Start the processes, wait until all are ready, and return the wall-clock time at which they begin."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for shard in shards:
            self._children.append(await self._spawn(shard))
        async with asyncio.timeout(START_TIMEOUT_S):
            await asyncio.gather(*(_ready(child) for child in self._children))
        starts_at_s = time.time() + LEAD_S
        for child in self._children:
            await _send(child, packed_start(starts_at_s))
            child.reader_task = asyncio.create_task(_read(child))
        return starts_at_s

    def progress(self) -> Progress:
        return merge_progress([child.progress for child in self._children])

    def end(self) -> None:
        """Request the end of every shard; requests in flight may still end."""
        for child in self._children:
            if child.process.stdin is not None:
                child.process.stdin.close()

    async def wait(self) -> None:
        """Return when every process has ended."""
        await asyncio.gather(*(child.process.wait() for child in self._children))

    async def results(self) -> tuple[list[ShardResult], list[Shard]]:
        """Return the results of the shards, and the lost shards; raises DriverFailed when all were lost."""
        results, lost = [], []
        for child in self._children:
            await self._stop(child)
            try:
                results.append(pickle.loads(child.result.read_bytes()))
            except OSError:
                lost.append(child.shard)
        if not results:
            raise DriverFailed(f"The load's processes ended early:\n{self._processes.tail(_name(lost[0]))}")
        return results, lost

    async def _spawn(self, shard: Shard) -> _Child:
        result = self._directory / f"shard-{shard.number}.pickle"
        result.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cluster.lab.load.shard_process"]
        process = await self._processes.start(_name(shard), command, piped=True)
        child = _Child(shard, process, result)
        await _send(child, packed_shard(shard, result))
        return child

    async def _stop(self, child: _Child) -> None:
        await self._processes.stop(_name(child.shard), GRACE_S)
        if child.reader_task is not None:
            await asyncio.wait({child.reader_task})


def _name(shard: Shard) -> str:
    return f"shard-{shard.number}"


async def _send(child: _Child, message: bytes) -> None:
    assert child.process.stdin is not None
    child.process.stdin.write(message)
    # The process may have ended; its missing result shows that later.
    with contextlib.suppress(ConnectionError):
        await child.process.stdin.drain()


async def _ready(child: _Child) -> None:
    assert child.process.stdout is not None
    while (line := await child.process.stdout.readline()) and line.decode().strip() != READY:
        continue


async def _read(child: _Child) -> None:
    """Keep the last progress that a shard reported, until it ends."""
    assert child.process.stdout is not None
    while line := await child.process.stdout.readline():
        with contextlib.suppress(ValueError, TypeError):
            child.progress = Progress(**json.loads(line))
