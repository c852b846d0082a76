"""The whole system for the acceptance tests, run by one process that stops all others when its stdin is closed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from cluster.config.settings import IMPORT_PATH
from cluster.lab.emulator import Emulator
from cluster.lab.stack import startup
from cluster.lab.stack.backend_peer import BackendPeer
from cluster.lab.stack.livekit_server import find_livekit_server
from cluster.lab.stack.plan import Plan, planned
from cluster.lab.stack.processes import Processes
from tests.support.knowledge_base import KnowledgeBase
from tests.support.livekit_server import LiveKit
from tests.support.trpc_backend import faulty_command

ROOT = Path(__file__).parents[2]
# Ray may need a second attempt.
START_TIMEOUT_S = 2 * startup.START_TIMEOUT_S
STOP_TIMEOUT_S = 60
MAX_OUTPUT_CHARS = 20_000
"""The characters of output in the error of a stack that did not start."""
# Ten times as fast as the vendors: the tests check events, not durations.
FAST: startup.Args = {"simulation": {"seed": 7, "speed": 10.0}}
# Most tests wait for a flush to the backend, some several times.
COSTS: startup.Args = {"costs": {"flush_every_s": 0.5}}
SLOTS = 24
ONE_REPLICA = {"min_replicas": 1, "max_replicas": 1}
# One replica each: a replica that starts during a flood would change the processor time and the slots.
SPEECH_ARGS: startup.Args = {
    "rooms": {"heartbeat_every_s": 1},
    "scaling": {name: ONE_REPLICA for name in ("router", "vision", "llm", "embeddings")},
    "fairness": {"slots": SLOTS},
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running system, with the address and credentials of each part."""

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
        """Open a room like an agent; return its token."""
        metadata = json.dumps({"tenant_id": tenant or room.split("_")[1]})
        async with self.http(self.plan.agent_key) as http:
            response = await http.post("/v1/rooms", json={"room": room, "job_id": "test", "metadata": metadata})
        assert response.status_code == 200, response.text
        return str(response.json()["token"])

    async def usage(self, tenant: str) -> dict[str, Any]:
        async with self.http(self.plan.admin_key) as http:
            usage: dict[str, Any] = (await http.get(f"/v1/tenants/{tenant}/usage")).raise_for_status().json()
        return usage

    async def bill(self, **parameters: str | list[str]) -> list[dict[str, Any]]:
        """Return the rows of `GET /v1/bill`, which an aggregator reads beside its commits."""
        async with self.http(self.plan.admin_key) as http:
            page = (await http.get("/v1/bill", params={"limit": "1000", **parameters})).raise_for_status().json()
        rows: list[dict[str, Any]] = page["rows"]
        return rows

    async def billed_nanousd(self, tenant: str, timeout_s: float = 60.0) -> int:
        """Wait until all settled costs are sent to the backend; return the billed amount."""
        async with asyncio.timeout(timeout_s):
            while (usage := await self.usage(tenant))["sent_nanousd"] != usage["settled_nanousd"]:
                await asyncio.sleep(0.2)
        return (await self.backend.totals_nanousd()).get(tenant, 0)

    async def counters(self, room: str) -> dict[str, float]:
        """Return the last heartbeat's counters of a room's agent; nothing once the room is closed."""
        rooms = (await self.usage(room.split("_")[1]))["rooms"]
        return next((room_usage["counters"] for room_usage in rooms if room_usage["room"] == room), {})

    def processes(self, title: str) -> list[psutil.Process]:
        """Return the running processes whose title begins with `title`, such as `ray::Aggregator`."""
        children = psutil.Process(self.pid).children(recursive=True)
        return [process for process in children if _title(process).startswith(title)]

    def log(self, name: str) -> str:
        return (self.plan.directory / "logs" / f"{name}.log").read_text("utf-8", "replace")


Passages = Sequence[Mapping[str, str]]
"""Additional passages of the backend's knowledge base, each with `id`, `tenantId`, `source` and `text`."""


@contextmanager
def running_stack(
    parts: str = "all",
    args: startup.Args | None = None,
    import_path: str | None = None,
    environment: Mapping[str, str] | None = None,
    passages: Passages = (),
) -> Iterator[Stack]:
    """Yield a running system: `all` of it, or the `app` with its backend alone; another app by its import path.

    `environment` is added to the environment of the agent.
    """
    with tempfile.TemporaryDirectory(prefix="stack-") as directory:
        command = [sys.executable, "-m", "tests.support.stack", directory, parts, import_path or IMPORT_PATH]
        merged = COSTS | (FAST if args is None else args)
        command += [json.dumps(argument) for argument in (merged, environment or {}, list(passages))]
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                yield _parse_started(process.stdout.readline(), process, output)
            finally:
                process.stdin.close()
                process.wait(STOP_TIMEOUT_S)
                process.stdout.close()
                output.seek(0)
                sys.stderr.write(output.read())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system with speech, its emulated vendors, and the numbers in its knowledge base."""

    stack: Stack
    emulator: Emulator
    knowledge_base: KnowledgeBase


@asynccontextmanager
async def running_speech_system() -> AsyncIterator[System]:
    """Yield a system whose vendors are an emulator on this loop."""
    async with Emulator().running() as emulator:
        urls, knowledge_base = emulator.base_urls(), KnowledgeBase()
        vendors = {name: {"api": name, "base_url": url, "simulated": False} for name, url in urls.items()}
        environment = {
            "RAYROOM_VOICE": "on",
            "DEEPGRAM_API_KEY": "k",
            "DEEPGRAM_BASE_URL": urls["deepgram"],
            "ELEVEN_API_KEY": "k",
            "ELEVEN_BASE_URL": urls["elevenlabs"],
        }
        running = running_stack(
            "all", {"vendors": vendors, **SPEECH_ARGS}, None, environment, knowledge_base.passages()
        )
        stack = await asyncio.to_thread(running.__enter__)
        try:
            yield System(stack=stack, emulator=emulator, knowledge_base=knowledge_base)
        finally:
            # The loop keeps running, because the agent closes its connections to the emulator.
            await asyncio.to_thread(running.__exit__, None, None, None)


def _parse_started(line: str, process: subprocess.Popen[str], output: IO[str]) -> Stack:
    if not line:
        # The process closes its stdout before it ends; its output is complete only at its end.
        status = process.wait(STOP_TIMEOUT_S)
        output.seek(0)
        raise RuntimeError(f"the stack did not start, status {status}:\n{output.read()[-MAX_OUTPUT_CHARS:]}")
    started = json.loads(line)
    paths = {name: Path(started["plan"][name]) for name in ("root", "directory", "temp")}
    ports = {"livekit_ports": tuple(started["plan"]["livekit_ports"])}
    plan = Plan(**(started["plan"] | paths | ports))
    backend = BackendPeer(plan.backend_key)
    backend.url = started["backend_url"]
    return Stack(plan=plan, backend=backend, pid=process.pid)


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


async def _start_backend(plan: Plan, processes: Processes, passages: Passages) -> BackendPeer:
    path = plan.directory / "passages.json"
    path.write_text(json.dumps(passages), "utf-8")
    command = await asyncio.to_thread(faulty_command, plan.root, plan.backend_key, passages=path)
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
        started = {"plan": dataclasses.asdict(plan), "backend_url": peer.url}
        print(json.dumps(started, default=str), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        # No test depends on their ends, so they get no time for an end in order.
        for name in ("agent", "serve", "ray"):
            await processes.stop(name, 0.0)


def main() -> None:
    """Run the stack until stdin ends."""
    directory, parts, import_path, *options = sys.argv[1:]
    args, environment, passages = map(json.loads, options)
    with planned(ROOT, Path(directory)) as plan:
        asyncio.run(_run(plan, parts, import_path, args, environment, passages))


if __name__ == "__main__":
    main()
