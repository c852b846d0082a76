"""Run a load's shards as Ray tasks across a cluster's nodes; the loss of a node loses its shards only."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.lab.load.local_shards import START_TIMEOUT_S, DriverFailed
from cluster.lab.load.shard import Shard, ShardResult, run_in_loop
from cluster.lab.load.tally import Progress, summed
from cluster.lab.scenario.recorded_screens import RecordedScreens, takes_of
from routing.errors import ConfigurationError

LEAD_S = 1.0
LOOK_EVERY_S = 1.0
CPUS_A_SHARD = 0.5


class ShardBoard:
    """The actor through which the shards of a load report progress, and read when to begin and whether to end."""

    def __init__(self) -> None:
        self._progress: dict[int, Progress] = {}
        self._starts_at_s: float | None = None
        self._ended = False

    def tell(self, number: int, progress: Progress) -> None:
        self._progress[number] = progress

    def ready(self, number: int) -> float | None:
        """Take note that a shard could begin; returns when all begin, once that is known."""
        self._progress.setdefault(number, Progress())
        return self._starts_at_s

    def begin(self, starts_at_s: float) -> None:
        self._starts_at_s = starts_at_s

    def end(self) -> None:
        self._ended = True

    def ended(self) -> bool:
        return self._ended

    def look(self) -> dict[int, Progress]:
        return self._progress


def run_task(shard: Shard, takes: RecordedScreens | None, board: Any) -> ShardResult:
    """Run a shard in this worker, when the board says so."""
    while (starts_at_s := ray.get(board.ready.remote(shard.number))) is None:
        if ray.get(board.ended.remote()):
            starts_at_s = time.time()
            break
        time.sleep(0.2)
    over = threading.Event()

    def ending(end: Callable[[], None]) -> None:
        def watch() -> None:
            while not over.wait(LOOK_EVERY_S):
                # Without the board the driver is gone too, and the shard ends.
                with contextlib.suppress(RayError):
                    if not ray.get(board.ended.remote()):
                        continue
                end()
                return

        threading.Thread(target=watch, daemon=True).start()

    begun = replace(shard, starts_at_s=starts_at_s)
    try:
        return run_in_loop(begun, lambda progress: board.tell.remote(shard.number, progress), ending, takes)
    finally:
        over.set()


def join_cluster(address: str) -> tuple[str, ...]:
    """Join a Ray cluster as a driver; returns the metrics endpoints of its nodes. Raises ConfigurationError."""
    try:
        ray.init(address=address, namespace="rayroom-load", log_to_driver=False, configure_logging=False)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"--ray {address}: no cluster to join: {type(error).__name__}.", "ray") from None
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in known if node["Alive"] and node.get("MetricsExportPort")]
    return tuple(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes)


class RayShards:
    """Shards as tasks, spread over the nodes of the cluster that this process has joined."""

    def __init__(self) -> None:
        self._board: Any = None
        self._tasks: dict[Shard, asyncio.Future[ShardResult]] = {}
        self._progress: dict[int, Progress] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def pids(self) -> frozenset[int]:
        return frozenset()

    async def start(self, shards: Sequence[Shard]) -> float:
        """Start a task for each shard, wait until all are ready, and return when they begin."""
        # On the driver's own node: with that one everything ends anyway.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        self._board = remote(num_cpus=0, scheduling_strategy=here)(ShardBoard).remote()
        takes = await asyncio.to_thread(_shared_takes, shards[0]) if shards[0].replay else None
        # Not tried again: a shard that begins anew in the middle would offer everything a second time.
        task = remote(num_cpus=CPUS_A_SHARD, max_retries=0, scheduling_strategy="SPREAD")(run_task)
        for shard in shards:
            self._tasks[shard] = asyncio.ensure_future(_result(task.remote(shard, takes, self._board)))
        await self._all_ready(len(shards))
        starts_at_s = time.time() + LEAD_S
        await self._board.begin.remote(starts_at_s)
        self._looking = asyncio.create_task(self._look())
        return starts_at_s

    def progress(self) -> Progress:
        return summed(list(self._progress.values()))

    def end(self) -> None:
        self._board.end.remote()

    async def wait(self) -> None:
        await asyncio.wait(self._tasks.values())

    async def results(self) -> tuple[list[ShardResult], list[Shard]]:
        """Return the results of the shards, and the lost shards; raises DriverFailed when all were lost."""
        await self.wait()
        if self._looking is not None:
            self._looking.cancel()
        found = [task.result() for task in self._tasks.values() if task.exception() is None]
        lost = [shard for shard, task in self._tasks.items() if task.exception() is not None]
        if not found:
            why = type(next(iter(self._tasks.values())).exception()).__name__
            raise DriverFailed(f"Every part of the driver was lost: {why}.")
        return found, lost

    async def _all_ready(self, count: int) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while len(await self._board.look.remote()) < count:
                    _raise_early(self._tasks.values())
                    await asyncio.sleep(0.2)
        except TimeoutError:
            said = f"--ray: the cluster has no room for {count} parts of the driver, {CPUS_A_SHARD} CPUs each."
            raise ConfigurationError(said, "ray") from None

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(RayError):
                self._progress = await self._board.look.remote()
            await asyncio.sleep(LOOK_EVERY_S)


async def _result(reference: Any) -> ShardResult:
    result: ShardResult = await reference
    return result


def _shared_takes(shard: Shard) -> Any:
    """Put the takes where every node finds them: a node has no cache of ours."""
    return ray.put(takes_of(shard.behaviour, shard.takes_directory))


def _raise_early(tasks: Any) -> None:
    for task in tasks:
        if task.done() and task.exception() is not None:
            raise DriverFailed(f"A part of the driver did not begin: {type(task.exception()).__name__}.") from None
