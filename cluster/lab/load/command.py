"""`rayroom load`: drive a scenario against a running app, or one started for it, and write the report."""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.config.validate import check_file
from cluster.lab.load.app_under_test import AppUnderTest, app_at, check_app, start_app, stop_app
from cluster.lab.load.interrupts import InterruptSignals, run_until_interrupted
from cluster.lab.load.options import LoadOptions, ScenarioLoad, console, read_load
from cluster.lab.load.results import DrivenLoad, RunNotes, quantile_ms, run_of
from cluster.lab.load.runner import DriveOptions, Shards, drive
from cluster.lab.load.timed_client import connected, tenant_usage
from cluster.lab.report import report
from cluster.lab.results import record
from cluster.lab.scenario.arrivals import tenant_name
from cluster.lab.stack.plan import Plan, planned
from cluster.lab.stack.processes import Processes
from room_agent.core.router_errors import RouterError
from routing.errors import ConfigurationError

RUNS = Path(".rayroom/runs")
MAX_DRIVER_LATE_MS = 20.0
# A publisher runs this much longer than the scenario, because it joins before the synthetic rooms begin.
STARTUP_ALLOWANCE_S = 120.0


def run_load(options: LoadOptions) -> int:
    """Run a load; returns 0 when every target held, 1 when one did not. Raises ConfigurationError before it begins."""
    load = read_load(options.scenario)
    check_file(options.config)
    if options.webrtc and options.url is not None:
        raise ConfigurationError("--webrtc needs an app and a LiveKit server of its own: leave --url out.", "webrtc")
    if options.ray_address is not None and options.url is None:
        raise ConfigurationError("--ray needs --url: the address of the app on that cluster.", "ray")
    out = (options.out or RUNS / load.scenario.name).resolve()
    return run_until_interrupted(lambda signals: _load(options, load, out, signals))


async def _load(options: LoadOptions, load: ScenarioLoad, out: Path, signals: InterruptSignals) -> int:
    scenario, started_at = load.scenario, dt.datetime.now(dt.UTC)
    async with app_for(options, load, out) as running:
        ended = asyncio.Event()
        drive_options = DriveOptions(
            app=running.app,
            replay=options.replay,
            processes=options.processes,
            console=console,
            ended=ended,
            directory=running.directory / "shards",
        )
        with signals.graceful(ended):
            async with _real_rooms(options, load, running) as webrtc:
                driven = await drive(
                    drive_options, scenario, load.rooms, load.tenants, running.processes, running.shards()
                )
            bill = await _bill(running.app, load.tenants)
            if running.app.is_ours:
                await stop_app(running.processes)
            notes = RunNotes(
                kind=options.kind,
                command=options.command,
                started_at=started_at,
                complete=not ended.is_set(),
                simulated=running.simulated,
                notes=(*notes_of(driven, options.replay, running.app), *webrtc.notes),
                details=_details(driven, bill) | ({"webrtc": webrtc.counters} if webrtc.counters else {}),
            )
            run = run_of(driven, check_file(running.config), notes)
            record.save(run, out)
            page = report.write(run, out)
    return print_result(run, page)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApp:
    """An app, its processes and its files."""

    app: AppUnderTest
    processes: Processes
    directory: Path
    config: Path
    simulated: bool = True
    plan: Plan | None = field(default=None, repr=False)

    def shards(self) -> Shards | None:
        """Return the shards of a Ray cluster; None if the rooms run in processes of this machine."""
        if self.app.ray_address is None or self.app.is_ours:
            return None
        from cluster.lab.load.ray_shards import RayShards

        return RayShards()


@dataclass(slots=True)
class WebrtcCounts:
    """The counters of the agents in real rooms, and a sentence on them; empty without real rooms."""

    counters: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@asynccontextmanager
async def _real_rooms(options: LoadOptions, load: ScenarioLoad, running: RunningApp) -> AsyncIterator[WebrtcCounts]:
    """Run the requested number of real rooms while the body runs."""
    webrtc = WebrtcCounts()
    if not options.webrtc or running.plan is None:
        yield webrtc
        return
    from cluster.lab.load.webrtc_rooms import describe_counters, real_names, real_rooms

    rooms = real_names(options.webrtc, load.tenants)
    seconds = load.scenario.length_s + STARTUP_ALLOWANCE_S
    async with real_rooms(running.plan, running.processes, running.app, rooms, seconds) as counters:
        yield webrtc
    webrtc.counters, webrtc.notes = counters, (describe_counters(counters, len(rooms)),)


@asynccontextmanager
async def app_for(options: LoadOptions, load: ScenarioLoad, out: Path) -> AsyncIterator[RunningApp]:
    """Yield the checked app at the url, or a new one that is stopped afterwards; raises ConfigurationError."""
    if options.url is not None:
        app = app_at(options.url, options.key_env, options.keys, options.metrics_urls, options.ray_address)
        simulated = await check_app(app, load.tenants, "l0")
        if options.ray_address is not None:
            app = await asyncio.to_thread(_with_metrics, app, options.ray_address)
        if load.scenario.vendors.faults:
            message = "vendors.faults needs an app of its own, which asks the emulator: leave --url out."
            raise ConfigurationError(f"{options.scenario}: {message}", "vendors.faults")
        with tempfile.TemporaryDirectory(prefix="rayroom-load-") as temporary:
            async with Processes(Path(temporary) / "logs") as processes:
                yield RunningApp(
                    app=app,
                    processes=processes,
                    directory=Path(temporary),
                    config=options.config,
                    simulated=simulated,
                )
        return
    async with own_app(options, load, out) as running:
        yield running


def _with_metrics(app: AppUnderTest, ray_address: str) -> AppUnderTest:
    """Join the app's cluster and return the app with the metrics endpoints found there."""
    from cluster.lab.load.ray_shards import join_cluster

    endpoints = join_cluster(ray_address)
    return replace(app, metrics_urls=app.metrics_urls or endpoints)


@asynccontextmanager
async def own_app(options: LoadOptions, load: ScenarioLoad, out: Path) -> AsyncIterator[RunningApp]:
    """Yield a newly started app; its logs and its journal are kept below `out`."""
    with planned(Path.cwd(), out / "app") as plan:
        async with Processes(plan.directory / "logs") as processes:
            console.print(f"starting an app for {load.scenario.name}: {len(load.rooms)} rooms, {load.tenants} tenants")
            app = await start_app(load.scenario, load.tenants, options.config, plan, processes)
            yield RunningApp(
                app=app,
                processes=processes,
                directory=plan.directory,
                config=plan.directory / "serve_config.yaml",
                plan=plan,
            )


async def _bill(app: AppUnderTest, tenants: int) -> dict[str, int] | None:
    """Return the settled cost of each tenant at the app; None without an admin key."""
    if app.admin_key is None:
        return None
    names = [tenant_name(index) for index in range(tenants)]
    async with connected(app.url) as transport:
        try:
            return {name: (await tenant_usage(transport, app.admin_key, name)).settled_nanousd for name in names}
        except RouterError:
            return None


def _details(driven: DrivenLoad, bill: dict[str, int] | None) -> dict[str, Any]:
    return {
        "driver_late_ms": {f"p{share}": _late_ms(driven, share) for share in (50, 95, 99)},
        "lost_rooms": driven.lost_rooms,
        "settled_nanousd": bill,
        "answers_nanousd": int(driven.counts.frames.cost_nanousd.sum() + driven.counts.questions.cost_nanousd.sum()),
    }


def notes_of(driven: DrivenLoad, replay: bool, app: AppUnderTest) -> tuple[str, ...]:
    """Return remarks on the way the load was driven."""
    notes = [
        "Frames are due at moments fixed in advance, and their times count from there: a late driver, a room that is"
        " not yet open and a slot that is still taken are all in them.",
        "Replayed: frames as recorded from the real frame path, offered at their full rate whatever the app answers."
        if replay
        else "Drawn: each room's screen went through the room agent's own gate and encoder, and slowed down with it.",
    ]
    late_ms = _late_ms(driven, 95)
    if late_ms > MAX_DRIVER_LATE_MS:
        notes.append(f"The driver itself was late by {late_ms:.0f} ms at p95: a part of the times is its own.")
    if driven.lost_rooms:
        notes.append(f"{driven.lost_rooms} rooms were lost with their part of the driver; no table counts them.")
    if not app.metrics_urls:
        notes.append("Replicas and queues could not be watched: by its address alone an app tells nothing of them.")
    return tuple(notes)


def _late_ms(driven: DrivenLoad, share: int) -> float:
    return round(quantile_ms(driven.counts.late_ms, share / 100) or 0.0, 2)


def print_result(run: record.Run, page: Path) -> int:
    """Print the result of a run; returns 0 when every target held."""
    totals, verdicts = run.summary.totals, run.summary.verdicts
    console.print(
        f"{totals.seen} frames seen, {totals.kept} kept, {totals.answered} answered, {totals.shed} shed,"
        f" {totals.failed} failed; p95 {_ms(totals.p95_ms)}, own p95 {_ms(totals.own_p95_ms)}"
    )
    for verdict in verdicts:
        seen = "unknown" if verdict.seen is None else f"{verdict.seen:.4g}"
        console.print(f"{'held' if verdict.held else 'MISSED'}: {verdict.target} {seen}, limit {verdict.limit:g}")
    console.print(f"The report: {page}")
    return 0 if all(verdict.held for verdict in verdicts) else 1


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"
