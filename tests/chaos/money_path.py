"""Run the money path without Ray: clients, routers, model replicas, a vendor, the aggregator and a Node backend."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from cluster.lab.stack.backend_peer import BackendPeer
from tests.chaos.books import Comparison
from tests.chaos.costs_process import JOURNAL_BUSY, CostsPlan, serve_costs
from tests.chaos.leaf_process import LeafPlan, serve_leaf
from tests.chaos.lost_journal import LostJournal, back_up, lose_and_restore
from tests.chaos.money_path_books import compare_money_path
from tests.chaos.processes import POLL_S, ForkServer, ended, kill, send_signal, stop
from tests.chaos.router_process import RouterPlan, serve_router
from tests.chaos.schedule import Fault, Life
from tests.chaos.vendor import Vendor
from tests.support.trpc_backend import EVERYDAY_FAULTS, running_backend, set_faults

TENANTS = 24
ROUTERS, LEAVES = 2, 2
CLIENTS_A_ROUTER = 32
GRACE_S = 1.0
OUTBOX_GRACE_S = 2.0
WATCH_S = 3.0
SETTLE_TIMEOUT_S = 240.0
"""The watch for late reports, then all windows that the kills left, at a backend that refuses some of them."""
"""Added to the length of a stop: a stopped model replica still sends the calls that it had received."""
FLUSH_EVERY_S = 0.3
SPENDING_S = 1.5
"""Between a backup and the loss of its journal."""
AWAY = {"failBeforeRate": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyPathSettings:
    """The sizes of a run. `stop_s` is the length of a SIGSTOP, and `month_ends_after_s` that of the faked month.

    After the schedule the backend is away for `away_s`.
    """

    directory: Path
    schedule: list[Life]
    seed: int
    stop_s: float = 6.0
    away_s: float = 0.0
    pause_s: float = 0.6
    month_ends_after_s: float | None = None


@dataclass(slots=True, kw_only=True)
class MoneyPathResult:
    """The comparison of the books, the kills by place, and the aggregator's last counters."""

    comparison: Comparison
    kills: Counter[str]
    counts: dict[str, float]
    months: int
    seconds: float


@dataclass(slots=True)
class MoneyPath:
    """The processes of a run, and the faults that befall them."""

    settings: MoneyPathSettings
    backend: BackendPeer
    servers: ForkServer
    kills: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    routers: list[ForkServerProcess] = field(default_factory=list)
    leaves: list[ForkServerProcess] = field(default_factory=list)
    started: int = 0
    lost: list[LostJournal] = field(default_factory=list)

    async def run(self, vendor: Vendor) -> MoneyPathResult:
        """Live the schedule, let everything settle, and compare."""
        started_s = time.monotonic()
        rng = random.Random(self.settings.seed)
        plan = self._costs_plan()
        self._start_others()
        for life in self.settings.schedule:
            await self._live(replace(plan, point=life.point, passages=life.passages), life, rng)
        if self.settings.away_s:
            await self._keep_backend_away(plan)
        await self._settle(plan)
        directory = self.settings.directory
        comparison, months = await compare_money_path(directory, vendor, self.backend, TENANTS, self.lost)
        comparison.differences += self.differences
        counts = json.loads((directory / "counts.json").read_text("utf-8"))
        seconds = time.monotonic() - started_s
        return MoneyPathResult(comparison=comparison, kills=self.kills, counts=counts, months=months, seconds=seconds)

    async def _live(self, plan: CostsPlan, life: Life, rng: random.Random) -> None:
        plan.address.unlink(missing_ok=True)
        aggregator = self.servers.start(serve_costs, plan)
        for fault in life.faults:
            await _serving(aggregator, plan)
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            await self._cause(fault, aggregator, plan, rng)
            if fault == "journal lost":
                return
        if await ended(aggregator, life.length_s):
            place = str(life.point)
            if aggregator.exitcode != -signal.SIGKILL:
                self.differences.append(f"the aggregator ended with status {aggregator.exitcode} instead of a kill")
        else:
            place = "aggregator at random"
            await kill(aggregator)
        self.kills[place] += 1

    async def _cause(self, fault: Fault, aggregator: ForkServerProcess, plan: CostsPlan, rng: random.Random) -> None:
        number = rng.randrange(2)
        match fault:
            case "router killed":
                await kill(self.routers[number])
                self.routers[number] = self._start_router(number)
            case "leaf killed":
                await kill(self.leaves[number])
                self.leaves[number] = self._start_leaf(number)
            case "aggregator stopped" | "router stopped" | "leaf stopped":
                processes = {"aggregator": aggregator, "router": self.routers[number], "leaf": self.leaves[number]}
                await self._stop_for_a_while(processes[fault.split()[0]])
            case "disk full":
                send_signal(aggregator, signal.SIGUSR1)
                await asyncio.sleep(1.0)
                send_signal(aggregator, signal.SIGUSR2)
            case "second aggregator":
                await self._start_second(aggregator, plan)
            case "backend away":
                await set_faults(self.backend, **AWAY)
                await asyncio.sleep(1.0)
                await set_faults(self.backend, **EVERYDAY_FAULTS)
            case "journal lost":
                await self._lose_journal(aggregator, plan)
        self.kills[fault] += 1

    async def _keep_backend_away(self, plan: CostsPlan) -> None:
        """Let windows pile up for long; the aggregator is killed in the middle, and before the backend is back."""
        await set_faults(self.backend, **AWAY)
        for _ in range(2):
            aggregator = self.servers.start(serve_costs, replace(plan, point=None))
            await asyncio.sleep(self.settings.away_s / 2)
            await kill(aggregator)
            self.kills["aggregator without a backend"] += 1

    async def _lose_journal(self, aggregator: ForkServerProcess, plan: CostsPlan) -> None:
        """Restore a backup of the running journal some spending later, with everything stopped meanwhile."""
        backup = self.settings.directory / "backup.db"
        await asyncio.to_thread(back_up, plan.journal, backup)
        await asyncio.sleep(SPENDING_S)
        for process in (*self.routers, *self.leaves, aggregator):
            await kill(process)
        self.lost.append(lose_and_restore(plan.journal, backup))
        backup.unlink()
        self._start_others()

    def _start_others(self) -> None:
        self.leaves = [self._start_leaf(number) for number in range(LEAVES)]
        self.routers = [self._start_router(number) for number in range(ROUTERS)]

    async def _stop_for_a_while(self, process: ForkServerProcess) -> None:
        send_signal(process, signal.SIGSTOP)
        await asyncio.sleep(self.settings.stop_s)
        send_signal(process, signal.SIGCONT)

    async def _start_second(self, aggregator: ForkServerProcess, plan: CostsPlan) -> None:
        second = self.servers.start(serve_costs, replace(plan, point=None))
        if await ended(second, 10.0):
            if aggregator.is_alive() and second.exitcode != JOURNAL_BUSY:
                self.differences.append(f"a second aggregator ended with status {second.exitcode}")
            return
        if aggregator.is_alive():
            self.differences.append("two aggregators ran on one journal")
        # The first one died before the second one started: that one is its successor.
        await kill(second)

    async def _settle(self, plan: CostsPlan) -> None:
        """Let every request end, every intent expire and every window be stored."""
        aggregator = self.servers.start(serve_costs, replace(plan, point=None))
        await set_faults(self.backend, **EVERYDAY_FAULTS)
        dead = [process for process in (*self.routers, *self.leaves) if not process.is_alive()]
        self.differences += [f"a router or leaf ended by itself with status {process.exitcode}" for process in dead]
        for router in self.routers:
            await stop(router)
        await asyncio.sleep(OUTBOX_GRACE_S)
        await stop(aggregator, SETTLE_TIMEOUT_S + self.settings.away_s)
        for leaf in self.leaves:
            await kill(leaf)

    def _costs_plan(self) -> CostsPlan:
        offset_s = 0.0
        if self.settings.month_ends_after_s is not None:
            offset_s = next_month_s(time.time()) - self.settings.month_ends_after_s - time.time()
        return CostsPlan(
            directory=self.settings.directory,
            backend_url=self.backend.url,
            backend_key=self.backend.key,
            flush_every_s=FLUSH_EVERY_S,
            outbox_grace_s=OUTBOX_GRACE_S,
            watch_s=WATCH_S + self.settings.stop_s,
            clock_offset_s=offset_s,
        )

    def _start_router(self, number: int) -> ForkServerProcess:
        self.started += 1
        directory = self.settings.directory
        plan = RouterPlan(
            name=f"router-{number}",
            seed=1_000 * self.settings.seed + self.started,
            tenants=TENANTS,
            clients=CLIENTS_A_ROUTER,
            leaves=tuple(directory / f"leaf-{leaf}.sock" for leaf in range(LEAVES)),
            address=directory / "address.json",
            log=directory / f"answers-{number}.log",
            grace_s=GRACE_S,
            pause_s=self.settings.pause_s,
        )
        return self.servers.start(serve_router, plan)

    def _start_leaf(self, number: int) -> ForkServerProcess:
        directory = self.settings.directory
        socket, vendor = directory / f"leaf-{number}.sock", directory / "vendor.sock"
        return self.servers.start(
            serve_leaf, LeafPlan(socket=socket, vendor=vendor, address=directory / "address.json")
        )


async def run_money_path(settings: MoneyPathSettings) -> MoneyPathResult:
    """Run one schedule and return its result."""
    async with (
        running_backend(tenants=TENANTS, **EVERYDAY_FAULTS) as backend,
        _running_vendor(settings.directory) as vendor,
    ):
        path = MoneyPath(settings, backend, ForkServer(settings.directory / "processes.log"))
        try:
            return await path.run(vendor)
        finally:
            path.servers.kill_all()


@asynccontextmanager
async def _running_vendor(directory: Path) -> AsyncIterator[Vendor]:
    vendor = Vendor(directory / "vendor.sock")
    serving = asyncio.create_task(vendor.serve())
    while not vendor.path.exists():
        await asyncio.sleep(0.01)
    try:
        yield vendor
    finally:
        serving.cancel()
        await asyncio.wait({serving})


async def _serving(aggregator: ForkServerProcess, plan: CostsPlan) -> None:
    """Wait until the aggregator takes entries, and so has its signal handlers, or has ended."""
    while aggregator.is_alive() and not plan.address.exists():
        await asyncio.sleep(POLL_S)


def next_month_s(now_s: float) -> float:
    """Return the UNIX time of the end of a month, in UTC."""
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + dt.timedelta(days=32)).replace(day=1).timestamp()
