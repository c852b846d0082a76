"""Measure the seconds until every room is watched again after a part of the system was killed or rolled.

Run `python -m tests.benchmarks.bench_kills`. Real livekit-server, workers and `rayroom dispatch`; the Serve app is a
scripted router. Where a job was killed, its room is watched again at the first frame of a new job. Where the SFU or
the router was away, it is watched again at its first frame after that. The slides rest before, so no older one is late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from aiohttp import web

from cluster.dispatch.command import STARTED
from cluster.dispatch.server import WEBHOOK_PATH
from cluster.lab.stack.livekit_server import find_livekit_server, livekit_config
from cluster.lab.stack.ports import free_ports
from cluster.lab.stack.processes import Processes
from room_agent.worker import REGISTERED
from tests.benchmarks.machine import machine_is_busy
from tests.support.eventually import eventually
from tests.support.livekit_server import ROOT, LiveKit
from tests.support.screen_share_participant import ScreenShareParticipant, joined_with_screen
from tests.support.scripted_router import ScriptedRouter

WORKER = (sys.executable, "-m", "room_agent", "start")
DISPATCH = (Path(sys.executable).parent / "rayroom", "dispatch")
SLIDE_S = 0.5
TIMEOUT_S = 120.0
REST_S = 5.0
"""A slide that rests for so long has been sent."""
ROUTER_AWAY_S = 15.0


@dataclass
class RecordingRouter(ScriptedRouter):
    """A router that records the room of each token, and the times of the rooms' frames."""

    rooms: dict[str, str] = field(default_factory=dict)
    frames_of: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))

    async def _open(self, request: web.Request) -> web.Response:
        room = (await request.json())["room"]
        response = await super()._open(request)
        self.rooms[f"Bearer token-{self.opened}"] = room
        return response

    async def _frame(self, request: web.Request) -> web.Response:
        token = request.headers["authorization"]
        self.frames_of[self.rooms[token]].append((token, time.monotonic()))
        return await super()._frame(request)


@dataclass
class KilledSystem:
    """The running parts, and the faults. A fault returns the time at which it began."""

    router: RecordingRouter
    processes: Processes
    environment: Mapping[str, str]
    livekit_command: tuple[str | Path, ...]
    routing: contextlib.AsyncExitStack
    """The scripted router while it listens."""
    slides_turn: asyncio.Event = field(default_factory=asyncio.Event)
    worker: str = ""
    started: int = 0

    async def start_livekit(self) -> None:
        await self._start("livekit", self.livekit_command)
        port = urlsplit(self.environment["LIVEKIT_URL"]).port or 0
        await eventually(lambda: _listens(port), TIMEOUT_S)

    async def start_dispatch(self) -> None:
        name = await self._start("dispatch", DISPATCH)
        await eventually(lambda: self.processes.has_logged(name, STARTED), TIMEOUT_S)

    async def start_worker(self) -> None:
        self.worker = await self._start("worker", WORKER)
        await eventually(lambda: self.processes.has_logged(self.worker, REGISTERED), TIMEOUT_S)

    async def jobs_killed(self) -> float:
        killed_at_s = time.monotonic()
        self._kill_jobs()
        return killed_at_s

    async def worker_killed(self) -> float:
        old = self.worker
        await self.start_worker()
        return self._kill(old)

    async def worker_rolled(self) -> float:
        old = self.worker
        await self.start_worker()
        os.kill(self._pid(old), signal.SIGTERM)
        return time.monotonic()

    async def livekit_killed(self) -> float:
        await self._let_slides_rest()
        killed_at_s = self._kill(self._last("livekit"))
        await self.start_livekit()
        self.slides_turn.set()
        return killed_at_s

    async def router_away(self) -> float:
        """The time begins when the router is back."""
        await self.routing.aclose()
        await self._let_slides_rest(ROUTER_AWAY_S)
        back_at_s = time.monotonic()
        await self.routing.enter_async_context(self.router.running())
        self.slides_turn.set()
        return back_at_s

    async def jobs_killed_while_dispatch_is_down(self) -> float:
        killed_at_s = self._kill(self._last("dispatch"))
        self._kill_jobs()
        await self.start_dispatch()
        return killed_at_s

    async def _let_slides_rest(self, seconds: float = REST_S) -> None:
        self.slides_turn.clear()
        await asyncio.sleep(seconds)

    async def _start(self, part: str, command: tuple[str | Path, ...]) -> str:
        self.started += 1
        name = f"{part}-{self.started}"
        await self.processes.start(name, command, self.environment)
        return name

    def _kill_jobs(self) -> None:
        for process in psutil.Process(self._pid(self.worker)).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(one.raddr and one.raddr.port == self.router.port for one in process.net_connections("tcp")):
                    process.kill()

    def _kill(self, name: str) -> float:
        os.killpg(self._pid(name), signal.SIGKILL)
        return time.monotonic()

    def _pid(self, name: str) -> int:
        (pid,) = self.processes.pids([name])
        return pid

    def _last(self, part: str) -> str:
        return max(
            (path.stem for path in self.processes.logs.glob(f"{part}-*.log")), key=lambda name: int(name.split("-")[1])
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def measure(system: KilledSystem, rooms: list[str], fault: Callable[[], Awaitable[float]], keeps: bool) -> float:
    """Return the seconds until the last room is watched again; with `keeps` by a job that lived before, too."""
    router, old = system.router, set(system.router.rooms)
    began_at_s = await fault()

    def first(room: str) -> float:
        frames = router.frames_of[room]
        return next((at_s for token, at_s in frames if at_s > began_at_s and (keeps or token not in old)), 0.0)

    await eventually(lambda: all(map(first, rooms)), TIMEOUT_S)
    return max(map(first, rooms)) - began_at_s


async def _turn_slides(people: list[ScreenShareParticipant], turn: asyncio.Event) -> None:
    turn.set()
    while True:
        await asyncio.sleep(SLIDE_S)
        await turn.wait()
        for person in people:
            person.slide += 1


async def run(number: int, repetitions: int, isolation: str) -> dict[str, list[float]]:
    """Return the seconds of each fault, for rooms with a process each or with one together."""
    port, tcp_port, udp_port, dispatch_port = free_ports(4)
    livekit = LiveKit(url=f"ws://127.0.0.1:{port}", key="bench", secret=secrets.token_urlsafe(32))
    rooms = [f"tenant_acme_kill-{index}" for index in range(number)]
    results: dict[str, list[float]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        url, config = f"http://127.0.0.1:{dispatch_port}", directory / "livekit.yaml"
        text = livekit_config(port, tcp_port, udp_port, livekit.key, livekit.secret, url + WEBHOOK_PATH)
        config.write_text(text, "utf-8")
        router = RecordingRouter()
        routing = await stack.enter_async_context(contextlib.AsyncExitStack())
        await routing.enter_async_context(router.running())
        environment = {
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": livekit.key,
            "LIVEKIT_API_SECRET": livekit.secret,
            "RAYROOM_URL": router.url,
            "RAYROOM_AGENT_KEYS": "an-agent-key-of-benchmarks",
            "RAYROOM_DISPATCH_URL": url,
            "RAYROOM_DISPATCH_PORT": str(dispatch_port),
            "RAYROOM_ROOM_ISOLATION": isolation,
        }
        processes = await stack.enter_async_context(Processes(directory / "logs"))
        command = (find_livekit_server(ROOT), "--config", config)
        system = KilledSystem(router, processes, environment, command, routing)
        await system.start_livekit()
        await system.start_dispatch()
        await system.start_worker()
        people = [await stack.enter_async_context(joined_with_screen(livekit, room)) for room in rooms]
        for person in people:
            await person.share_screen()
        turning = asyncio.create_task(_turn_slides(people, system.slides_turn))
        await eventually(lambda: all(router.frames_of[room] for room in rooms), TIMEOUT_S)
        faults = [
            (system.worker_killed, False),
            (system.worker_rolled, False),
            (system.livekit_killed, True),
            (system.router_away, True),
        ]
        if isolation == "process":
            faults += [(system.jobs_killed, False), (system.jobs_killed_while_dispatch_is_down, False)]
        for _ in range(repetitions):
            for fault, keeps in faults:
                seconds = await measure(system, rooms, fault, keeps)
                results[fault.__name__].append(seconds)
                print(f"{isolation} {fault.__name__}: {seconds:.1f} s", flush=True)
                await asyncio.sleep(2.0)
        turning.cancel()
    return results


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    print("| rooms in | fault | seconds until the last room is watched again |\n|---|---|---|")
    for isolation in ("process", "thread"):
        results = asyncio.run(run(options.rooms, options.repetitions, isolation))
        for name, seconds in results.items():
            print(f"| {isolation} | {name} | {', '.join(f'{one:.1f}' for one in sorted(seconds))} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
