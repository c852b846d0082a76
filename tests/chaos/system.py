"""Run the whole system: Serve with HAProxy, emulated vendors, a faulty Node backend, and clients of all kinds."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

from cluster.costs.journal_reader import read_booked_events
from cluster.lab.emulator import Emulator
from cluster.lab.stack.backend_peer import BackendPeer
from cluster.lab.stack.plan import Plan, planned
from cluster.lab.stack.processes import Processes
from tests.chaos.books import Comparison
from tests.chaos.marked_vendors import MarkedVendors, PriceList
from tests.chaos.ray_stack import RayStack, processes
from tests.chaos.system_books import MarkedLine, compare_system
from tests.chaos.system_clients import Clients
from tests.support.trpc_backend import EVERYDAY_FAULTS, faulty_command, set_faults

ROOT = Path(__file__).parents[2]
TENANTS = 24
PARTS = {
    "aggregator": "ray::Aggregator",
    "router": "ray::ServeReplica:rayroom:router",
    "llm": "ray::ServeReplica:rayroom:llm",
    "vision": "ray::ServeReplica:rayroom:vision",
    "embeddings": "ray::ServeReplica:rayroom:embeddings",
    "haproxy": "haproxy",
    "controller": "ray::ServeController",
}
"""The process titles of the parts that are killed and stopped."""
Fault = Literal["backend away", "redeployed", "node lost", "head lost", "stopped"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
BETWEEN_S = (3.0, 9.0)
REPLACED_TIMEOUT_S = 120.0
WATCH_S = 30.0
"""Longer than a better report of an estimated event is waited for."""
SETTLE_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSettings:
    """The size of a run."""

    directory: Path
    kills: int
    seed: int
    stop_s: float = 20.0
    away_s: float = 20.0
    kills_a_fault: int = 2
    """After so many kills comes one fault of another kind."""


@dataclass(slots=True, kw_only=True)
class SystemResult:
    """The comparison of the books, the faults by part, and the responses that clients got."""

    comparison: Comparison
    faults: Counter[str]
    statuses: Counter[str]
    client_faults: list[str]
    seconds: float


@dataclass(slots=True)
class System:
    """The running parts, and the faults that befall them."""

    settings: SystemSettings
    plan: Plan
    stack: RayStack
    backend: BackendPeer
    vendors: MarkedVendors
    clients: Clients
    faults: Counter[str] = field(default_factory=Counter)

    async def run(self) -> SystemResult:
        """Cause the faults while the clients run, let everything settle, and compare."""
        started_s = time.monotonic()
        rng = random.Random(self.settings.seed)
        running = asyncio.create_task(self.clients.run())
        kills = 0
        parts: list[str] = []
        others: list[Fault] = []
        while kills < self.settings.kills and not running.done():
            await asyncio.sleep(rng.uniform(*BETWEEN_S))
            parts = parts or rng.sample(list(PARTS), len(PARTS))
            kills += await self._kill(parts.pop(), rng)
            if kills % self.settings.kills_a_fault == 0:
                others = others or rng.sample(FAULTS, len(FAULTS))
                await self._cause(others.pop(), rng)
        self.clients.ending.set()
        await running
        await self._settle()
        return SystemResult(
            comparison=await self._compare(),
            faults=self.faults,
            statuses=self.clients.statuses,
            client_faults=self.clients.faults,
            seconds=time.monotonic() - started_s,
        )

    async def _kill(self, part: str, rng: random.Random) -> int:
        """Kill one process of a part and wait until another one runs; return the number of kills."""
        running = processes(PARTS[part])
        if not running:
            self.faults[f"{part} was not running"] += 1
            await asyncio.sleep(1.0)
            return 0
        # Older HAProxies only end the connections that they have.
        victim = running[-1] if part == "haproxy" else rng.choice(running)
        known = {process.pid for process in running}
        victim.kill()
        self.faults[f"{part} killed"] += 1
        started_s = time.monotonic()
        await self._replaced(part, lambda: any(process.pid not in known for process in processes(PARTS[part])))
        _progress(f"{part} killed, replaced after {time.monotonic() - started_s:.1f} s")
        return 1

    async def _replaced(self, part: str, done: Callable[[], bool]) -> None:
        """Wait until another process of a part runs; note a part for which none came."""
        end_s = time.monotonic() + REPLACED_TIMEOUT_S
        while not done():
            if time.monotonic() > end_s:
                self.faults[f"{part} not replaced"] += 1
                return
            await asyncio.sleep(0.2)

    async def _cause(self, fault: Fault, rng: random.Random) -> None:
        started_s = time.monotonic()
        match fault:
            case "backend away":
                await set_faults(self.backend, failBeforeRate=1.0)
                await asyncio.sleep(self.settings.away_s)
                await set_faults(self.backend, **EVERYDAY_FAULTS)
            case "redeployed":
                old = {process.pid for process in processes(PARTS["router"])}
                await self.stack.redeploy()
                await self._replaced("router", lambda: old.isdisjoint(one.pid for one in processes(PARTS["router"])))
            case "node lost":
                await self.stack.lose_node()
            case "head lost":
                await self.stack.lose_head()
            case "stopped":
                await self._stop(rng.choice(list(PARTS)))
                return
        self.faults[fault] += 1
        _progress(f"{fault}, {time.monotonic() - started_s:.1f} s")

    async def _stop(self, part: str) -> None:
        for process in processes(PARTS[part])[:1]:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self.settings.stop_s)
            process.send_signal(signal.SIGCONT)
            self.faults[f"{part} stopped"] += 1
            _progress(f"{part} stopped for {self.settings.stop_s:.0f} s")

    async def _settle(self) -> None:
        """Wait until no intent is open, better reports came, and the backend has stored every window."""
        await asyncio.sleep(WATCH_S)
        async with (
            asyncio.timeout(SETTLE_TIMEOUT_S),
            httpx.AsyncClient(base_url=self.plan.router_url, timeout=20.0) as http,
        ):
            for number in range(TENANTS):
                while not await self._settled(http, f"tenant-{number:02d}"):
                    await asyncio.sleep(1.0)

    async def _settled(self, http: httpx.AsyncClient, tenant: str) -> bool:
        headers = {"authorization": f"Bearer {self.plan.admin_key}"}
        response = await http.get(f"/v1/tenants/{tenant}/usage", headers=headers)
        usage: dict[str, Any] = response.json() if response.status_code == 200 else {"reserved_nanousd": 1}
        return bool(usage["reserved_nanousd"] == 0 and usage["sent_nanousd"] == usage["settled_nanousd"])

    async def _compare(self) -> Comparison:
        prices = PriceList()
        tenant_of = self.clients.tenant_of
        lines = [
            MarkedLine(
                marker=marker,
                tenant_id=tenant_of.get(marker, "nobody"),
                model=prices.model(line),
                cost_nanousd=prices.cost_nanousd(line),
                arrived_at_s=arrived_at_s,
            )
            for marker, arrived_at_s, line in self.vendors.marked()
        ]
        # An older event is in a month's file by now.
        rows = list(read_booked_events(self.plan.journal))
        return compare_system(lines, rows, await self.backend.totals_nanousd(), self.clients.answers)


def _progress(event: str) -> None:
    print(event, file=sys.stderr, flush=True)


@asynccontextmanager
async def running_system(settings: SystemSettings) -> AsyncIterator[System]:
    """Yield a running system with emulated vendors on this loop."""
    vendors = MarkedVendors(settings.seed)
    with planned(ROOT, settings.directory / "system") as plan:
        async with Processes(plan.directory / "logs") as started, Emulator(vendors).running() as emulator:
            command = await asyncio.to_thread(
                faulty_command, plan.root, plan.backend_key, faults=EVERYDAY_FAULTS, tenants=TENANTS
            )
            backend = BackendPeer(plan.backend_key)
            await backend.attach(await started.start("backend", command, piped=True))
            stack = RayStack(plan=plan, started=started, backend=backend, urls=emulator.base_urls())
            await stack.start()
            yield System(settings, plan, stack, backend, vendors, Clients(plan, TENANTS, settings.seed))


async def run_system(settings: SystemSettings) -> SystemResult:
    """Run one schedule on a whole system and return its result."""
    async with running_system(settings) as system:
        return await system.run()
