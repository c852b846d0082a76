"""Measures the processor time and the memory of a room, for this project's worker beside a plain livekit-agents one.

Run `python -m tests.benchmarks.bench_agents`. Both workers watch the same rooms of one livekit-server at the same time,
so they receive the same packets. A figure is that of the worker's whole process tree, less the same tree without a
room, divided by the number of rooms. The router is scripted and answers after 0.7 s; the participants' screen is the
demo's. Settings of the worker, such as RAYROOM_ROOM_ISOLATION, are taken from the environment.
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
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from livekit import api
from livekit.protocol.models import ParticipantInfo
from rich.console import Console
from rich.table import Table

from room_agent.worker import REGISTERED
from tests.benchmarks import plain_agent
from tests.benchmarks.busy_meeting import MeetingMode, meeting
from tests.benchmarks.cores import cpu_s, descendants
from tests.benchmarks.machine import load_per_core, machine_is_busy
from tests.support.eventually import eventually
from tests.support.livekit_server import ROOT, LiveKit, running_livekit
from tests.support.meeting import dispatch
from tests.support.scripted_router import ScriptedRouter

RAYROOM, PLAIN = "rayroom", plain_agent.AGENT_NAME
AGENT = ParticipantInfo.Kind.AGENT
MODES = (
    MeetingMode(name="nobody shares"),
    MeetingMode(name="720p, 5 fps", size_px=(1280, 720), fps=5),
    MeetingMode(name="720p, 15 fps", size_px=(1280, 720), fps=15),
    MeetingMode(name="1080p, 15 fps, simulcast", size_px=(1920, 1080), fps=15, simulcast=True),
    MeetingMode(name="still 1080p, 15 fps, simulcast", size_px=(1920, 1080), fps=15, simulcast=True, still=True),
    # As Chromium sends a shared tab that rests: one frame a second.
    MeetingMode(name="still 1080p, 1 fps, simulcast", size_px=(1920, 1080), fps=1, simulcast=True, still=True),
    MeetingMode(name="four open microphones", microphones=4),
)
GOALS_PERCENT = {
    "nobody shares": 0.35,
    "720p, 5 fps": 3.5,
    "1080p, 15 fps, simulcast": 2.0,
    "still 1080p, 1 fps, simulcast": 1.0,
}
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

    def per_room(self, base: TreeUse, rooms: int) -> TreeUse:
        """Return the share of each of `rooms` in what exceeds `base`."""
        return TreeUse(
            cpu_percent=(self.cpu_percent - base.cpu_percent) / rooms,
            memory_mb=(self.memory_mb - base.memory_mb) / rooms,
        )


Workers = dict[str, ProcessTree]
Uses = dict[str, dict[str, TreeUse]]


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
def _workers(livekit: LiveKit, router: ScriptedRouter, peers: tuple[str, ...]) -> Iterator[Workers]:
    base = {"LIVEKIT_URL": livekit.url, "LIVEKIT_API_KEY": livekit.key, "LIVEKIT_API_SECRET": livekit.secret}
    ours = base | {"RAYROOM_URL": router.url, "RAYROOM_AGENT_KEYS": "a-key-of-the-benchmark"}
    with tempfile.TemporaryDirectory() as path, ExitStack() as stack:
        ours |= {"RAYROOM_USAGE_DIR": path}
        commands = {RAYROOM: (["-m", "room_agent", "start"], ours, REGISTERED)}
        commands |= {PLAIN: (["-m", "tests.benchmarks.plain_agent"], base, plain_agent.REGISTERED)}
        yield {
            name: stack.enter_context(_running(command, environment, ready, Path(path, f"{name}.log")))
            for name, (command, environment, ready) in commands.items()
            if name in peers
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
async def _watched_rooms(
    livekit: LiveKit, router: ScriptedRouter, rooms: list[str], mode: MeetingMode, peers: tuple[str, ...]
) -> AsyncIterator[float]:
    """Hold meetings with the agents of all `peers` in them; yield the seconds until ours watched the last room."""
    opened, tokens = router.opened, set(router.tokens)
    shares = mode.size_px is not None
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(meeting(livekit, room, mode)) for room in rooms))
        client = await stack.enter_async_context(api.LiveKitAPI(livekit.url, livekit.key, livekit.secret))
        started_s = time.monotonic()
        await asyncio.gather(*(dispatch(livekit, room, {"tenant_id": "acme"}, peers[0]) for room in rooms))
        await eventually(
            lambda: (
                router.opened - opened == len(rooms) and (not shares or len(set(router.tokens) - tokens) == len(rooms))
            ),
            START_TIMEOUT_S,
        )
        watched_s = time.monotonic() - started_s
        for peer in peers[1:]:
            await asyncio.gather(*(dispatch(livekit, room, {}, peer) for room in rooms))
        await _wait_for_agents(client, rooms, len(peers))
        yield watched_s
        closed = router.closed
        for room in rooms:
            await client.room.delete_room(api.DeleteRoomRequest(room=room))
        await eventually(lambda: router.closed - closed == len(rooms), LEAVE_TIMEOUT_S)


async def _wait_for_agents(client: api.LiveKitAPI, rooms: list[str], number: int) -> None:
    """Wait until each room has this number of agents: a worker without a job would be measured as a cheap one."""
    async with asyncio.timeout(START_TIMEOUT_S):
        for room in rooms:
            while True:
                response = await client.room.list_participants(api.ListParticipantsRequest(room=room))
                if sum(one.kind == AGENT for one in response.participants) == number:
                    break
                await asyncio.sleep(0.5)


async def run(modes: list[MeetingMode], rooms: int, peers: tuple[str, ...], settle_s: float, window_s: float) -> Uses:
    """Return each worker's use a room by mode, less its use without a room, which is under the name ''."""
    router = ScriptedRouter(fps=1.0, heartbeat_every_s=10.0, frame_delay_s=0.7)
    uses: Uses = {}
    with running_livekit() as livekit:
        async with router.running():
            with ExitStack() as stack:
                workers = await asyncio.to_thread(stack.enter_context, _workers(livekit, router, peers))
                # The idle processes are still being started.
                await asyncio.sleep(3 * settle_s)
                uses[""] = base = await measure(workers, window_s)
                for number, mode in enumerate(modes):
                    names = [f"tenant_acme_room-{number}-{index}" for index in range(rooms)]
                    async with _watched_rooms(livekit, router, names, mode, peers) as watched_s:
                        print(f"{mode.name}: all watched after {watched_s:.1f} s", file=sys.stderr, flush=True)
                        await asyncio.sleep(settle_s)
                        measured = await measure(workers, window_s)
                        uses[mode.name] = {name: use.per_room(base[name], rooms) for name, use in measured.items()}
                    await asyncio.sleep(settle_s / 3)
    return uses


def goals(uses: Uses) -> dict[str, bool]:
    """Return every goal with its measured figure, and whether it was met."""
    shares = {mode: uses[mode][RAYROOM].cpu_percent for mode in GOALS_PERCENT if mode in uses}
    return {
        f"{mode}: {share:.2f} % of a core <= {GOALS_PERCENT[mode]}": share <= GOALS_PERCENT[mode]
        for mode, share in shares.items()
    }


def _print(uses: Uses) -> None:
    names = list(uses[""])
    headings = [f"{name}: {unit}" for name in names for unit in ("% of a core", "MB")]
    table = Table("room", *headings, title=f"a room's share; load {load_per_core():.1f} a core")
    for column in table.columns[1:]:
        column.justify = "right"
    for mode, use in uses.items():
        cells = [text for name in names for text in _cells(use[name])]
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
    parser.add_argument("--rooms", type=int, default=1, help="rooms opened at once and watched side by side")
    parser.add_argument("--alone", action="store_true", help="measure without the plain worker")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--json", type=Path, help="write every figure to a file")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    modes = [mode for mode in MODES if options.only in mode.name]
    peers = (RAYROOM,) if options.alone else (RAYROOM, PLAIN)
    uses = asyncio.run(run(modes, options.rooms, peers, options.settle, options.window))
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
