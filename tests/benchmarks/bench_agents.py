"""Measures the processor time and the memory of a room, for this project's worker beside a plain livekit-agents one.

Run `python -m tests.benchmarks.bench_agents`. Both workers watch the same rooms of one livekit-server at the same time,
so they receive the same packets. A figure is that of the worker's whole process tree, less the same tree without a
room. The router is scripted and answers after 0.7 s; the participants' screen is the demo's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from livekit import api
from rich.console import Console
from rich.table import Table

from room_agent.worker import REGISTERED
from tests.benchmarks import plain_agent
from tests.benchmarks.busy_meeting import MeetingMode, meeting
from tests.benchmarks.cores import cpu_s, descendants
from tests.benchmarks.machine import load_per_core, machine_is_busy
from tests.support.livekit_server import ROOT, LiveKit, running_livekit
from tests.support.meeting import dispatch
from tests.support.scripted_router import ScriptedRouter
from tests.support.stack import eventually

RAYROOM, PLAIN = "rayroom", "plain livekit-agents"
MODES = (
    MeetingMode(name="nobody shares"),
    MeetingMode(name="720p, 5 fps", size_px=(1280, 720), fps=5),
    MeetingMode(name="720p, 15 fps", size_px=(1280, 720), fps=15),
    MeetingMode(name="1080p, 15 fps, simulcast", size_px=(1920, 1080), fps=15, simulcast=True),
    MeetingMode(name="still 1080p, 15 fps, simulcast", size_px=(1920, 1080), fps=15, simulcast=True, still=True),
    MeetingMode(name="four open microphones", microphones=4),
)
GOALS_PERCENT = {"nobody shares": 0.35, "720p, 5 fps": 3.5, "1080p, 15 fps, simulcast": 2.0}
SETTLE_S, WINDOW_S = 9.0, 20.0
"""The SFU needs up to 6 s until it sends fewer frames to a subscriber that asked for fewer."""
START_TIMEOUT_S, LEAVE_TIMEOUT_S = 240.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTree:
    """A worker with all its processes."""

    pid: int

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.pid, *descendants(self.pid))

    def unshared_mb(self) -> float:
        return sum(psutil.Process(pid).memory_full_info().uss for pid in self.pids) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUse:
    """The use of a process tree in one window: the share of a core in percent, and the unshared memory."""

    cpu_percent: float
    memory_mb: float


Workers = dict[str, ProcessTree]


@contextmanager
def _running(command: list[str], environment: dict[str, str], ready: str, log: Path) -> Iterator[ProcessTree]:
    """Yield a running worker once it has logged `ready`; raises RuntimeError when it does not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        end_s = time.monotonic() + START_TIMEOUT_S
        while ready not in log.read_text("utf-8", "replace"):
            if process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"{command} did not start:\n{log.read_text('utf-8', 'replace')[-2_000:]}")
            time.sleep(0.2)
        yield ProcessTree(pid=process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        for child in children:
            child.kill()


@contextmanager
def _workers(livekit: LiveKit, router: ScriptedRouter) -> Iterator[Workers]:
    base = {"LIVEKIT_URL": livekit.url, "LIVEKIT_API_KEY": livekit.key, "LIVEKIT_API_SECRET": livekit.secret}
    ours = base | {"RAYROOM_URL": router.url, "RAYROOM_AGENT_KEYS": "a-key-of-the-benchmark"}
    with tempfile.TemporaryDirectory() as path, ExitStack() as stack:
        ours |= {"RAYROOM_USAGE_DIR": path}
        commands = {RAYROOM: (["-m", "room_agent", "start"], ours, REGISTERED)}
        commands |= {PLAIN: (["-m", "tests.benchmarks.plain_agent"], base, plain_agent.REGISTERED)}
        yield {
            name: stack.enter_context(_running(command, environment, ready, Path(path, f"{name}.log")))
            for name, (command, environment, ready) in commands.items()
        }


async def measure(workers: Workers, window_s: float) -> dict[str, TreeUse]:
    """Return each worker's use over a window."""
    before_s = {name: cpu_s(tree.pids) for name, tree in workers.items()}
    started_s = time.monotonic()
    await asyncio.sleep(window_s)
    took_s = time.monotonic() - started_s
    shares = {name: 100 * (cpu_s(tree.pids) - before_s[name]) / took_s for name, tree in workers.items()}
    return {name: TreeUse(cpu_percent=shares[name], memory_mb=tree.unshared_mb()) for name, tree in workers.items()}


@asynccontextmanager
async def _watched_room(livekit: LiveKit, router: ScriptedRouter, room: str, mode: MeetingMode) -> AsyncIterator[None]:
    """Hold a meeting with both agents in it, and delete its room."""
    opened, frames = router.opened, len(router.frames)
    async with meeting(livekit, room, mode):
        await dispatch(livekit, room, {"tenant_id": "acme"}, RAYROOM)
        await dispatch(livekit, room, {}, plain_agent.AGENT_NAME)
        shares = mode.size_px is not None
        await eventually(
            lambda: router.opened > opened and (not shares or len(router.frames) > frames), START_TIMEOUT_S
        )
        yield
        closed = router.closed
        async with api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as client:
            await client.room.delete_room(api.DeleteRoomRequest(room=room))
        await eventually(lambda: router.closed > closed, LEAVE_TIMEOUT_S)


async def run(modes: list[MeetingMode], settle_s: float, window_s: float) -> dict[str, dict[str, TreeUse]]:
    """Return each worker's use by mode, less its use without a room, which is under the name ''."""
    router = ScriptedRouter(fps=1.0, heartbeat_every_s=10.0, frame_delay_s=0.7)
    uses: dict[str, dict[str, TreeUse]] = {}
    with running_livekit() as livekit:
        async with router.running():
            with ExitStack() as stack:
                workers = await asyncio.to_thread(stack.enter_context, _workers(livekit, router))
                # The idle processes are still being started.
                await asyncio.sleep(3 * settle_s)
                uses[""] = await measure(workers, window_s)
                for number, mode in enumerate(modes):
                    print(mode.name, file=sys.stderr, flush=True)
                    async with _watched_room(livekit, router, f"tenant_acme_room-{number}", mode):
                        await asyncio.sleep(settle_s)
                        uses[mode.name] = _less(await measure(workers, window_s), uses[""])
                    await asyncio.sleep(settle_s / 3)
    return uses


def _less(uses: dict[str, TreeUse], base: dict[str, TreeUse]) -> dict[str, TreeUse]:
    return {
        name: TreeUse(
            cpu_percent=use.cpu_percent - base[name].cpu_percent, memory_mb=use.memory_mb - base[name].memory_mb
        )
        for name, use in uses.items()
    }


def goals(uses: dict[str, dict[str, TreeUse]]) -> dict[str, bool]:
    """Return every goal with its measured figure, and whether it was met."""
    shares = {mode: uses[mode][RAYROOM].cpu_percent for mode in GOALS_PERCENT if mode in uses}
    return {
        f"{mode}: {share:.2f} % of a core <= {GOALS_PERCENT[mode]}": share <= GOALS_PERCENT[mode]
        for mode, share in shares.items()
    }


def _print(uses: dict[str, dict[str, TreeUse]]) -> None:
    headings = [f"{name}: {unit}" for name in (RAYROOM, PLAIN) for unit in ("% of a core", "MB")]
    table = Table("room", *headings, title=f"load {load_per_core():.1f} a core")
    for column in table.columns[1:]:
        column.justify = "right"
    for mode, use in uses.items():
        cells = [text for name in (RAYROOM, PLAIN) for text in _cells(use[name])]
        table.add_row(mode or "the worker without a room", *cells)
    Console(width=130).print(table)


def _cells(use: TreeUse) -> tuple[str, str]:
    return f"{use.cpu_percent:.2f}", f"{use.memory_mb:.0f}"


def main() -> int:
    """Return 0 when every goal is met, 1 when one is missed, 2 when the machine is too busy to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=float, default=WINDOW_S, help="seconds of each measurement")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds before each measurement")
    parser.add_argument("--only", default="", help="measure only the modes whose name contains this text")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--json", type=Path, help="write every figure to a file")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    modes = [mode for mode in MODES if options.only in mode.name]
    uses = asyncio.run(run(modes, options.settle, options.window))
    _print(uses)
    met = goals(uses)
    for goal, is_met in met.items():
        print(f"{'ok    ' if is_met else 'MISSED'} {goal}")
    if options.json is not None:
        figures = {mode: {name: asdict(use) for name, use in by_name.items()} for mode, by_name in uses.items()}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
