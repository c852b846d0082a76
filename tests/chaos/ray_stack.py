"""Start the Ray node and the application of a run; deploy it again with other settings, or lose the whole node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cluster.lab.stack import startup
from cluster.lab.stack.backend_peer import BackendPeer
from cluster.lab.stack.plan import Plan
from cluster.lab.stack.processes import Processes

FIXED = {"min_replicas": 2, "max_replicas": 2}
ONE = {"min_replicas": 1, "max_replicas": 1}
ARGS: startup.Args = {
    "scaling": {"router": FIXED, "llm": ONE, "vision": ONE, "embeddings": ONE},
    "llm": {"attempt_timeout_s": 20, "total_timeout_s": 30},
}
OUTBOX_GRACE_S = 10
STOP_S = 1.0
NODE_ENDS_S = 120
"""A node without its control store tries to reach it for a minute."""


@dataclass(slots=True, kw_only=True)
class RayStack:
    """The Ray node and the application. `urls` are the vendors' by their names."""

    plan: Plan
    started: Processes
    backend: BackendPeer
    urls: Mapping[str, str]
    deployments: int = 0
    _environment: dict[str, str] = field(default_factory=dict)

    async def start(self) -> None:
        """Start the node, then the application."""
        self._environment = await startup.start_ray(self.plan, self.started)
        await self._deploy()

    async def redeploy(self) -> None:
        """Deploy the application with other settings: the aggregator and every replica are replaced."""
        await self._kill_deployer()
        await self._deploy()

    async def lose_node(self) -> None:
        """Kill every process of the node, as the loss of a machine does, and start it on the same disk."""
        for process in node_processes(self.plan):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self._kill_deployer()
        await self.started.stop("ray", STOP_S)
        await self.start()

    async def lose_head(self) -> None:
        """Kill the head's control store alone, wait until the node ends itself, and start it on the same disk."""
        for process in processes("gcs_server"):
            process.kill()
        for _ in range(NODE_ENDS_S):
            if not processes("raylet"):
                break
            await asyncio.sleep(1.0)
        await self.lose_node()

    async def _kill_deployer(self) -> None:
        """Kill `serve run`: if it ended in order, it would end the application too."""
        for pid in self.started.pids({"serve"}):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(signal.SIGKILL)
        await self.started.stop("serve", STOP_S)

    async def _deploy(self) -> None:
        self.deployments += 1
        costs = {"intent_grace_s": 11, "outbox_grace_s": OUTBOX_GRACE_S + self.deployments % 2}
        rows = {name: {"api": name, "base_url": url, "simulated": False} for name, url in self.urls.items()}
        keys = {f"{name.upper()}_API_KEY": "k" for name in self.urls}
        args: startup.Args = {"vendors": rows, "costs": costs, **ARGS}
        await startup.start_app(self.plan, self.started, self.backend, self._environment | keys, args)


def processes(title: str) -> list[psutil.Process]:
    """Return our running processes whose title begins with `title`, or whose program has that name, oldest first."""
    return sorted((one for one in _descendants() if _has_title(one, title)), key=lambda process: process.create_time())


def node_processes(plan: Plan) -> list[psutil.Process]:
    """Return the running processes of the Ray node: its daemons, workers and HAProxy."""
    return [process for process in _descendants() if _is_of_node(process, str(plan.temp))]


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _has_title(process: psutil.Process, title: str) -> bool:
    first = (_command(process) or [""])[0]
    return first.startswith(title) or Path(first).name == title


def _is_of_node(process: psutil.Process, directory: str) -> bool:
    command = _command(process)
    return bool(command) and (command[0].startswith("ray::") or any(directory in word for word in command))


def _command(process: psutil.Process) -> list[str]:
    """Return the command line of a process; an empty one if it has ended."""
    try:
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except psutil.Error:
        return []
