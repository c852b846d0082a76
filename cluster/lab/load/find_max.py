"""Search for the largest number of rooms at which the targets hold."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster.config.validate import check_file
from cluster.lab.load.command import RUNS, RunningApp, app_for, notes_of, print_result
from cluster.lab.load.interrupts import InterruptSignals, run_until_interrupted
from cluster.lab.load.options import LoadOptions, ScenarioLoad, console, read_load
from cluster.lab.load.results import DrivenLoad, RunNotes, run_of
from cluster.lab.load.runner import DriveOptions, drive
from cluster.lab.report import report
from cluster.lab.results import record
from cluster.lab.scenario.arrivals import draw_rooms
from cluster.lab.scenario.scenario import Scenario, Steady
from routing.errors import ConfigurationError

PRECISION = 1.06
"""The search ends below this ratio: two runs with the same number of rooms differ as much."""
MIN_STEP = 1
MAX_ROOMS = 20_000
STEP_S = 40.0
STEP_WARM_UP_S = 15.0

Holds = Callable[[int], Awaitable[bool]]


async def find_max(holds: Holds, start: int, max_rooms: int) -> int:
    """Return the largest number of rooms found to hold, at most `max_rooms`; 0 if not even one room holds.

    Doubles while the targets hold (or halves until they do), then bisects between the largest
    success and the smallest failure.
    """
    success, failure = await _bracket(holds, start, max_rooms)
    while failure is not None and failure - success > MIN_STEP and failure > success * PRECISION:
        middle = (success + failure) // 2
        if await holds(middle):
            success = middle
        else:
            failure = middle
    return success


async def _bracket(holds: Holds, start: int, max_rooms: int) -> tuple[int, int | None]:
    """Return a number that holds and the next one tried that fails, or None if `max_rooms` holds."""
    rooms = min(start, max_rooms)
    if not await holds(rooms):
        while rooms > 1:
            failure, rooms = rooms, rooms // 2
            if await holds(rooms):
                return rooms, failure
        return 0, None
    while rooms < max_rooms:
        success, rooms = rooms, min(2 * rooms, max_rooms)
        if not await holds(rooms):
            return success, rooms
    return rooms, None


def run_search(options: LoadOptions) -> int:
    """Search from the scenario's number of rooms; return 0 if some number holds the targets, else 1."""
    load = read_load(options.scenario)
    check_file(options.config)
    if not any(limit is not None for limit in load.scenario.targets.model_dump().values()):
        raise ConfigurationError(f"{options.scenario}: --find-max needs a target to hold: name one under `targets`.")
    out = (options.out or RUNS / f"{load.scenario.name}-max").resolve()
    return run_until_interrupted(lambda signals: _search(options, load, out, signals))


def with_rooms(scenario: Scenario, rooms: int) -> Scenario:
    """Return the scenario with a constant number of rooms and the length of a search step."""
    length_s = min(scenario.length_s, STEP_S)
    steady = {"arrivals": Steady(kind="steady", rooms=rooms), "length_s": length_s}
    return scenario.model_copy(update=steady | {"warm_up_s": min(STEP_WARM_UP_S, length_s / 2)})


class _Search:
    """The runs of one search, against one app."""

    def __init__(self, options: LoadOptions, load: ScenarioLoad, running: RunningApp, ended: asyncio.Event) -> None:
        self._options = options
        self._load = load
        self._running = running
        self._ended = ended
        self.best: record.Run | None = None

    async def holds(self, rooms: int) -> bool:
        """Run this number of rooms and return whether every target held; False once the search is ending."""
        if self._ended.is_set():
            return False
        scenario = with_rooms(self._load.scenario, rooms)
        drive_options = DriveOptions(
            app=self._running.app,
            replay=True,
            processes=self._options.processes,
            console=console,
            ended=self._ended,
            directory=self._running.directory / "shards",
        )
        started_at = dt.datetime.now(dt.UTC)
        scheduled = draw_rooms(scenario, Path())
        driven = await drive(drive_options, scenario, scheduled, self._load.tenants, self._running.processes)
        run = self._run(driven, started_at)
        held = not self._ended.is_set() and all(verdict.held for verdict in run.summary.verdicts)
        console.print(f"{rooms} rooms: {'held' if held else 'missed'}; {figures(run.summary.totals)}")
        if held or self.best is None:
            self.best = run
        return held

    def _run(self, driven: DrivenLoad, started_at: dt.datetime) -> record.Run:
        notes = RunNotes(
            kind="replay",
            command=self._options.command,
            started_at=started_at,
            simulated=self._running.simulated,
            notes=notes_of(driven, True, self._running.app),
        )
        return run_of(driven, check_file(self._running.config), notes)


async def _search(options: LoadOptions, load: ScenarioLoad, out: Path, signals: InterruptSignals) -> int:
    async with app_for(options, load, out) as running:
        ended = asyncio.Event()
        search = _Search(options, load, running, ended)
        with signals.graceful(ended):
            max_rooms = await find_max(search.holds, len(load.rooms), MAX_ROOMS)
    if search.best is None:
        return 1
    totals, cpus = search.best.summary.totals, len(os.sched_getaffinity(0))
    record.save(search.best, out)
    page = report.write(search.best, out)
    console.print(
        f"{max_rooms} rooms hold the targets: {max_rooms / cpus:.0f} a core, {cpus} cores; {cpu_shares(totals)}"
    )
    return print_result(search.best, page) if max_rooms else 1


def figures(totals: record.Totals) -> str:
    """Return the result of a step of the search, in one line."""
    own = "unknown" if totals.own_p95_ms is None else f"{totals.own_p95_ms:.0f} ms"
    shed = "unknown" if totals.shed_share is None else f"{totals.shed_share:.2%}"
    return f"own p95 {own}, shed {shed}, {cpu_shares(totals)}"


def cpu_shares(totals: record.Totals) -> str:
    """Return the driver's share of the CPU time of driver and app."""
    if totals.driver_cpu_s is None or totals.app_cpu_s is None:
        return "the driver's share of the CPU is not known"
    total_s = totals.driver_cpu_s + totals.app_cpu_s
    share = totals.driver_cpu_s / total_s if total_s else 0.0
    return f"the driver took {share:.0%} of the CPU ({totals.driver_cpu_s:.0f} of {total_s:.0f} s)"
