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
from cluster.lab.load.tally import Progress, merge_progress
from cluster.lab.scenario.recorded_screens import RecordedScreens, load_recordings
from routing.errors import ConfigurationError

LEAD_S = 1.0
POLL_EVERY_S = 1.0
CPUS_A_SHARD = 0.5


class ShardBoard:
    """The actor through which the shards of a load report progress, and read when to begin and whether to end."""

    def __init__(self) -> None:
        self._progress: dict[int, Progress] = {}
        self._starts_at_s: float | None = None
        self._ended = False

    def report(self, number: int, progress: Progress) -> None:
        self._progress[number] = progress

    def ready(self, number: int) -> float | None:
        """Register a shard as ready; return the start time of all shards, or None until it is set."""
        self._progress.setdefault(number, Progress())
        return self._starts_at_s

    def begin(self, starts_at_s: float) -> None:
        self._starts_at_s = starts_at_s

    def end(self) -> None:
        self._ended = True

    def ended(self) -> bool:
        return self._ended

    def progress(self) -> dict[int, Progress]:
        return self._progress


def run_task(shard: Shard, recordings: RecordedScreens | None, board: Any) -> ShardResult:
    """Run a shard in this worker at the start time of the board."""
    while (starts_at_s := ray.get(board.ready.remote(shard.number))) is None:
        if ray.get(board.ended.remote()):
            starts_at_s = time.time()
            break
        time.sleep(0.2)
    finished = threading.Event()

    def register_end(end: Callable[[], None]) -> None:
        def watch() -> None:
            while not finished.wait(POLL_EVERY_S):
                # Without the board there is no driver either, and the shard ends.
                with contextlib.suppress(RayError):
                    if not ray.get(board.ended.remote()):
                        continue
                end()
                return

        threading.Thread(target=watch, daemon=True).start()

    scheduled = replace(shard, starts_at_s=starts_at_s)
    try:
        return run_in_loop(
            scheduled, lambda progress: board.report.remote(shard.number, progress), register_end, recordings
        )
    finally:
        finished.set()


def join_cluster(address: str) -> tuple[str, ...]:
    """Join a Ray cluster as a driver; returns the metrics endpoints of its nodes. Raises ConfigurationError."""
    try:
        ray.init(address=address, namespace="rayroom-load", log_to_driver=False, configure_logging=False)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"--ray {address}: no cluster to join: {type(error).__name__}.", "ray") from None
    all_nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in all_nodes if node["Alive"] and node.get("MetricsExportPort")]
    return tuple(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes)


class RayShards:
    """Shards as tasks, spread over the nodes of the cluster that this process has joined."""

    def __init__(self) -> None:
        self._board: Any = None
        self._tasks: dict[Shard, asyncio.Future[ShardResult]] = {}
        self._progress: dict[int, Progress] = {}
        self._poll_task: asyncio.Task[None] | None = None

    @property
    def pids(self) -> frozenset[int]:
        return frozenset()

    async def start(self, shards: Sequence[Shard]) -> float:
        """Start a task for each shard, wait until all are ready, and return their start time."""
        # On the driver's own node: if that node is lost, the load ends anyway.
        on_this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        self._board = remote(num_cpus=0, scheduling_strategy=on_this_node)(ShardBoard).remote()
        recordings = await asyncio.to_thread(_shared_recordings, shards[0]) if shards[0].replay else None
        # Never retried: a restarted shard would send its whole load a second time.
        task = remote(num_cpus=CPUS_A_SHARD, max_retries=0, scheduling_strategy="SPREAD")(run_task)
        for shard in shards:
            self._tasks[shard] = asyncio.ensure_future(_result(task.remote(shard, recordings, self._board)))
        await self._all_ready(len(shards))
        starts_at_s = time.time() + LEAD_S
        await self._board.begin.remote(starts_at_s)
        self._poll_task = asyncio.create_task(self._poll_progress())
        return starts_at_s

    def progress(self) -> Progress:
        return merge_progress(list(self._progress.values()))

    def end(self) -> None:
        self._board.end.remote()

    async def wait(self) -> None:
        await asyncio.wait(self._tasks.values())

    async def results(self) -> tuple[list[ShardResult], list[Shard]]:
        """Return the results of the shards, and the lost shards; raises DriverFailed when all were lost."""
        await self.wait()
        if self._poll_task is not None:
            self._poll_task.cancel()
        results = [task.result() for task in self._tasks.values() if task.exception() is None]
        lost = [shard for shard, task in self._tasks.items() if task.exception() is not None]
        if not results:
            cause = type(next(iter(self._tasks.values())).exception()).__name__
            raise DriverFailed(f"Every part of the driver was lost: {cause}.")
        return results, lost

    async def _all_ready(self, count: int) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while len(await self._board.progress.remote()) < count:
                    _raise_early(self._tasks.values())
                    await asyncio.sleep(0.2)
        except TimeoutError:
            message = f"--ray: the cluster has no room for {count} parts of the driver, {CPUS_A_SHARD} CPUs each."
            raise ConfigurationError(message, "ray") from None

    async def _poll_progress(self) -> None:
        while True:
            with contextlib.suppress(RayError):
                self._progress = await self._board.progress.remote()
            await asyncio.sleep(POLL_EVERY_S)


async def _result(reference: Any) -> ShardResult:
    result: ShardResult = await reference
    return result


def _shared_recordings(shard: Shard) -> Any:
    """Put the recordings into Ray's object store: other nodes do not have the cache."""
    return ray.put(load_recordings(shard.behaviour, shard.recordings_directory))


def _raise_early(tasks: Any) -> None:
    for task in tasks:
        if task.done() and task.exception() is not None:
            raise DriverFailed(f"A part of the driver did not begin: {type(task.exception()).__name__}.") from None
