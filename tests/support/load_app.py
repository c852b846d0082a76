"""An app for the load driver: the real routes and a real journal behind a real server, without Ray."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import uvicorn
import yaml

from deployments.common.settings import SimulationSettings
from deployments.routes import build_routes
from tests.support.gateway import KEYS, TENANTS, InProcessCluster, Tenants, gateway_in_process

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from cluster.cli.main import main; main()", "load")
TIMEOUT_S = 300.0


@asynccontextmanager
async def load_app(path: Path, tenants: int = 2, speed: float = 50.0) -> AsyncIterator[tuple[str, InProcessCluster]]:
    """Yield the address of an app and its costs; its tenants are load-1, load-2 and so on."""
    names = [f"load-{number + 1}" for number in range(tenants)]
    directory = Tenants({name: replace(TENANTS[0], tenant_id=name) for name in names})
    simulation = SimulationSettings(seed=7, speed=speed)
    async with gateway_in_process(path, simulation=simulation, directory=directory) as (gateway, cluster):
        config = uvicorn.Config(build_routes(gateway), port=0, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", cluster
        finally:
            server.should_exit = True
            await running


def write_scenario(path: Path, **changes: object) -> Path:
    """Write a scenario of some seconds and return its file."""
    document: dict[str, object] = {
        "name": "some-seconds",
        "length_s": 5,
        "arrivals": {"kind": "steady", "rooms": 4},
        "rooms": {"screens": {"slides": 1, "still": 1}, "talk_share": 0.5, "question_every_s": 2},
        "targets": {"shed_share": 0.9},
    }
    file = path / "scenario.yaml"
    file.write_text(yaml.safe_dump(document | changes), "utf-8")
    return file


@asynccontextmanager
async def running_load(
    *args: object, key: str = KEYS.agent[0], environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield the running command; processes that it leaves are killed."""
    keys = {"RAYROOM_AGENT_KEYS": key, "RAYROOM_ADMIN_KEYS": KEYS.admin[0]}
    environment = {**os.environ, **keys, **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, args),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        for leftover in children(process.pid):
            leftover.kill()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_for_exit(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Return a command's status, its output and its error output."""
    async with asyncio.timeout(TIMEOUT_S):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


def children(pid: int) -> Sequence[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return ()
