"""Start the parts of the system on this machine and wait for each: SFU, backend, Ray, the Serve app, the room agent."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from cluster.config.settings import IMPORT_PATH
from cluster.lab.stack import ray_node
from cluster.lab.stack.backend_peer import BackendPeer, peer_command
from cluster.lab.stack.livekit_server import livekit_config
from cluster.lab.stack.plan import Plan
from cluster.lab.stack.processes import Processes, StartFailed
from room_agent.worker import REGISTERED

# Three at once on two cores take two and a half minutes each; a failure is reported when its process ends, not by this.
START_TIMEOUT_S = 300.0
# A node has thirty seconds to register, which Ray cannot configure; a busy machine may need another try.
RAY_TRIES = 6
RAY_STOP_S = 10.0

Args = dict[str, dict[str, Any]]


async def start_backend(plan: Plan, processes: Processes) -> BackendPeer:
    """Start the tRPC backend; raises ConfigurationError when Node is missing."""
    command = await asyncio.to_thread(peer_command, plan.root, plan.backend_key)
    peer = BackendPeer(plan.backend_key)
    await peer.attach(await processes.start("backend", command, piped=True))
    return peer


async def start_livekit(plan: Plan, binary: Path, processes: Processes) -> None:
    config = plan.directory / "livekit.yaml"
    port, tcp_port, udp_port = plan.livekit_ports
    config.touch(0o600)
    config.write_text(livekit_config(port, tcp_port, udp_port, plan.livekit_key, plan.livekit_secret))
    await processes.start("livekit", [binary, "--config", config])
    await wait_until(lambda: listens(port), processes, "livekit-server")


async def start_ray(
    plan: Plan,
    processes: Processes,
    cpus: int = ray_node.LOGICAL_CPUS,
    extra_environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Start a Ray node before anything else competes with it; return the environment of processes that connect to it.

    `extra_environment` is added to its own environment.
    """
    environment = {**app_environment(plan), **(extra_environment or {})}

    async def has_started() -> bool:
        return processes.has_logged("ray", ray_node.STARTED_LINE)

    for tries_left in reversed(range(RAY_TRIES)):
        command = ray_node.start_command(plan.temp, plan.ray_port, cpus, plan.metrics_port)
        await processes.start("ray", command, environment)
        try:
            await wait_until(has_started, processes, "Ray")
            break
        except StartFailed:
            if not tries_left or not processes.has_logged("ray", ray_node.TIMED_OUT_LINE):
                raise
            await processes.stop("ray", RAY_STOP_S)
    return environment


async def start_app(
    plan: Plan,
    processes: Processes,
    backend: BackendPeer,
    environment: Mapping[str, str],
    args: Args,
    import_path: str = IMPORT_PATH,
) -> None:
    """Start the Serve app of serve_config.yaml, overridden by `args`, on a Ray node of that environment."""
    config = plan.directory / "serve_config.yaml"
    merged = _merged(_args(plan, backend.url), args)
    ray_node.write_config(plan.root / "serve_config.yaml", config, plan.http_port, merged, import_path)
    await processes.start("serve", ray_node.serve_command(plan.ray_address, config), environment)
    await wait_until(lambda: responds(f"{plan.router_url}/readyz"), processes, "the Serve app")


async def start_agent(plan: Plan, processes: Processes, extra_environment: Mapping[str, str] | None = None) -> None:
    """Start the room agent, with `extra_environment` in its environment."""
    environment = {
        "LIVEKIT_URL": plan.livekit_url,
        "LIVEKIT_API_KEY": plan.livekit_key,
        "LIVEKIT_API_SECRET": plan.livekit_secret,
        "RAYROOM_URL": plan.router_url,
        "RAYROOM_AGENT_KEYS": plan.agent_key,
        "RAYROOM_RECORD_DIR": str(plan.directory / "frames"),
        "RAYROOM_USAGE_DIR": str(plan.directory / "usage"),
        "RAYROOM_DRAIN_S": "2",
        **(extra_environment or {}),
    }
    await processes.start("agent", [sys.executable, "-m", "room_agent", "start"], environment)

    async def registered() -> bool:
        return processes.has_logged("agent", REGISTERED)

    # The SFU offers a job once: a room dispatched before a worker registers stays without an agent.
    await wait_until(registered, processes, "the room agent")


def app_environment(plan: Plan) -> dict[str, str]:
    """Return the environment of the app's processes."""
    return {
        **ray_node.ray_environment(plan.temp),
        "RAYROOM_AGENT_KEYS": plan.agent_key,
        "RAYROOM_ADMIN_KEYS": plan.admin_key,
        "RAYROOM_TOKEN_SECRET": plan.token_secret,
        "RAYROOM_BACKEND_KEY": plan.backend_key,
    }


async def wait_until(ready: Callable[[], Awaitable[bool]], processes: Processes, part: str) -> None:
    """Wait until `ready()` is true; raises StartFailed on a timeout, or when a process ends meanwhile."""
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        processes.check()
        if await ready():
            return
        await asyncio.sleep(0.25)
    raise StartFailed(f"{part} was not up after {START_TIMEOUT_S:.0f} s.")


async def listens(port: int) -> bool:
    """Return whether a local port accepts connections."""
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _args(plan: Plan, backend_url: str) -> Args:
    return {
        "backend": {"url": backend_url, "transformer": "superjson"},
        "costs": {"journal_path": str(plan.journal), "flush_every_s": 2},
        "keys": {"file": str(plan.directory / "keys.env")},
    }


def _merged(first: Args, second: Args) -> Args:
    return {part: first.get(part, {}) | second.get(part, {}) for part in {**first, **second}}


async def responds(url: str) -> bool:
    """Return whether an address answers with success."""
    try:
        async with httpx.AsyncClient(timeout=2.0) as http:
            return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False
