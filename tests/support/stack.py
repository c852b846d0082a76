"""The whole system for the acceptance tests: run as a process of its own, which ends all it started with its stdin."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from cluster.config.settings import IMPORT_PATH
from cluster.lab.emulator import Emulator
from cluster.lab.stack import startup
from cluster.lab.stack.backend_peer import BackendPeer, peer_command
from cluster.lab.stack.livekit_server import find_livekit_server
from cluster.lab.stack.plan import Plan, planned
from cluster.lab.stack.processes import Processes
from tests.support.facts import Facts
from tests.support.livekit_server import LiveKit

ROOT = Path(__file__).parents[2]
# A try after another for Ray, then the rest.
START_TIMEOUT_S = 2 * startup.START_TIMEOUT_S
STOP_TIMEOUT_S = 60
MOST_TOLD = 20_000
"""The number of characters of a stack's output in an error."""
# Ten times as fast as the vendors: the tests check events, not durations.
FAST: startup.Args = {"simulation": {"seed": 7, "speed": 10.0}}
SLOTS = 24
ONE = {"min_replicas": 1, "max_replicas": 1}
# A flood meets one replica: another that starts meanwhile would take its time and its slots.
SPEAKING: startup.Args = {
    "rooms": {"heartbeat_every_s": 1},
    "scaling": {name: ONE for name in ("router", "vision", "llm", "embeddings")},
    "fairness": {"slots": SLOTS},
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running system, and how to reach each part of it."""

    plan: Plan
    backend: BackendPeer
    pid: int

    @property
    def livekit(self) -> LiveKit:
        return LiveKit(url=self.plan.livekit_url, key=self.plan.livekit_key, secret=self.plan.livekit_secret)

    def http(self, key: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.plan.router_url, headers={"authorization": f"Bearer {key}"}, timeout=60.0
        )

    async def open_room(self, room: str, tenant: str | None = None) -> str:
        """Open a room as its agent would; returns its token."""
        metadata = json.dumps({"tenant_id": tenant or room.split("_")[1]})
        async with self.http(self.plan.agent_key) as http:
            opened = await http.post("/v1/rooms", json={"room": room, "job_id": "test", "metadata": metadata})
        assert opened.status_code == 200, opened.text
        return str(opened.json()["token"])

    async def usage(self, tenant: str) -> dict[str, Any]:
        async with self.http(self.plan.admin_key) as http:
            usage: dict[str, Any] = (await http.get(f"/v1/tenants/{tenant}/usage")).raise_for_status().json()
        return usage

    async def billed_nanousd(self, tenant: str, timeout_s: float = 60.0) -> int:
        """Wait until the backend has all settled costs; return the billed amount."""
        async with asyncio.timeout(timeout_s):
            while (usage := await self.usage(tenant))["sent_nanousd"] != usage["settled_nanousd"]:
                await asyncio.sleep(0.2)
        return (await self.backend.totals_nanousd()).get(tenant, 0)

    async def counters(self, room: str) -> dict[str, float]:
        """Return the last heartbeat's counters of a room's agent; nothing once the room is closed."""
        rooms = (await self.usage(room.split("_")[1]))["rooms"]
        return next((one["counters"] for one in rooms if one["room"] == room), {})

    def processes(self, title: str) -> list[psutil.Process]:
        """Return the running processes whose title begins so, such as `ray::Aggregator`."""
        below = psutil.Process(self.pid).children(recursive=True)
        return [process for process in below if _title(process).startswith(title)]

    def log(self, name: str) -> str:
        return (self.plan.directory / "logs" / f"{name}.log").read_text("utf-8", "replace")


async def eventually(what: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait until `what()` is true; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.1)


Passages = Sequence[Mapping[str, str]]
"""What the backend's knowledge base holds beside its own: `id`, `tenantId`, `source` and `text` of each."""


@contextmanager
def running_stack(
    parts: str = "all",
    args: startup.Args | None = None,
    import_path: str | None = None,
    environment: Mapping[str, str] | None = None,
    passages: Passages = (),
) -> Iterator[Stack]:
    """Yield a running system: `all` of it, or the `app` with its backend alone; another app by its import path.

    The agent has `environment` in its own.
    """
    with tempfile.TemporaryDirectory(prefix="stack-") as directory:
        command = [sys.executable, "-m", "tests.support.stack", directory, parts, import_path or IMPORT_PATH]
        command += [json.dumps(one) for one in (args or FAST, environment or {}, list(passages))]
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                yield _told(process.stdout.readline(), process, said)
            finally:
                process.stdin.close()
                process.wait(STOP_TIMEOUT_S)
                process.stdout.close()
                said.seek(0)
                sys.stderr.write(said.read())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A whole running system, its agent with a voice, its emulated vendors, and its facts."""

    stack: Stack
    emulator: Emulator
    facts: Facts


@asynccontextmanager
async def speaking_system() -> AsyncIterator[System]:
    """Yield a system with live vendors: an emulator on this loop."""
    async with Emulator().running() as emulator:
        urls, facts = emulator.base_urls(), Facts()
        vendors = {name: {"api": name, "base_url": url, "simulated": False} for name, url in urls.items()}
        environment = {
            "RAYROOM_VOICE": "on",
            "DEEPGRAM_API_KEY": "k",
            "DEEPGRAM_BASE_URL": urls["deepgram"],
            "ELEVEN_API_KEY": "k",
            "ELEVEN_BASE_URL": urls["elevenlabs"],
        }
        running = running_stack("all", {"vendors": vendors, **SPEAKING}, None, environment, facts.passages())
        stack = await asyncio.to_thread(running.__enter__)
        try:
            yield System(stack=stack, emulator=emulator, facts=facts)
        finally:
            # The loop goes on meanwhile: the agent says goodbye to the emulator.
            await asyncio.to_thread(running.__exit__, None, None, None)


def _told(line: str, process: subprocess.Popen[str], said: IO[str]) -> Stack:
    if not line:
        # Its stdout ends before it does: all it has to say is there when it has ended.
        status = process.wait(STOP_TIMEOUT_S)
        said.seek(0)
        raise RuntimeError(f"the stack did not start, status {status}:\n{said.read()[-MOST_TOLD:]}")
    told = json.loads(line)
    paths = {name: Path(told["plan"][name]) for name in ("root", "directory", "temp")}
    ports = {"livekit_ports": tuple(told["plan"]["livekit_ports"])}
    plan = Plan(**(told["plan"] | paths | ports))
    backend = BackendPeer(plan.backend_key)
    backend.url = told["backend_url"]
    return Stack(plan=plan, backend=backend, pid=process.pid)


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


async def _start_backend(plan: Plan, processes: Processes, passages: Passages) -> BackendPeer:
    path = plan.directory / "passages.json"
    path.write_text(json.dumps(passages), "utf-8")
    command = await asyncio.to_thread(peer_command, plan.root, plan.backend_key, passages=path)
    peer = BackendPeer(plan.backend_key)
    await peer.attach(await processes.start("backend", command, piped=True))
    return peer


async def _run(
    plan: Plan, parts: str, import_path: str, args: startup.Args, environment: dict[str, str], passages: Passages
) -> None:
    async with Processes(plan.directory / "logs") as processes:
        try:
            peer = await _start_backend(plan, processes, passages)
            async with asyncio.timeout(START_TIMEOUT_S), asyncio.TaskGroup() as group:
                ray = await startup.start_ray(plan, processes)
                group.create_task(startup.start_app(plan, processes, peer, ray, args, import_path))
                if parts == "all":
                    await startup.start_livekit(
                        plan, await asyncio.to_thread(find_livekit_server, plan.root), processes
                    )
                    group.create_task(startup.start_agent(plan, processes, environment))
        except BaseException:
            for log in sorted(processes.logs.glob("*.log")):
                print(f"== the end of {log.name}\n{processes.tail(log.stem)}", file=sys.stderr)
            raise
        told = {"plan": dataclasses.asdict(plan), "backend_url": peer.url}
        print(json.dumps(told, default=str), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        started_s = time.monotonic()
        await processes.stop("agent", 10.0)
        print(f"agent stopped after {time.monotonic() - started_s:.1f} s", file=sys.stderr)


def main() -> None:
    """Run the stack until stdin ends."""
    directory, parts, import_path, *options = sys.argv[1:]
    args, environment, passages = map(json.loads, options)
    with planned(ROOT, Path(directory)) as plan:
        asyncio.run(_run(plan, parts, import_path, args, environment, passages))


if __name__ == "__main__":
    main()
