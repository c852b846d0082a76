"""Simulate a live run with its own measurements, and report the differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from pydantic import ValidationError

from cluster.config.settings import AppSettings, explain
from cluster.lab.results import record
from cluster.lab.scenario.recorded_screens import RecordedScreens
from cluster.lab.scenario.scenario import SHIPPED, Scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.experiment import Experiment, simulate
from routing.errors import ConfigurationError

GOAL_PERCENT = 10.0
P95_SIGMAS = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureDifference:
    """One figure of both runs. `difference` is in percent of the live value; for a share, in points."""

    figure: str
    live: float | None
    simulated: float | None

    @property
    def difference(self) -> float | None:
        if self.live is None or self.simulated is None:
            return None
        if self.figure == "shed_percent":
            return self.simulated - self.live
        return None if not self.live else 100 * (self.simulated / self.live - 1)

    @property
    def within_goal(self) -> bool:
        return self.difference is not None and abs(self.difference) <= GOAL_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedRun:
    """A live run and its simulation side by side."""

    name: str
    directory: Path
    differences: tuple[FigureDifference, ...]
    notes: tuple[str, ...]
    """The inputs that the simulation took from the live run, and its assumptions."""


def validate(directory: Path, app: AppSettings, recordings: RecordedScreens | None = None) -> ValidatedRun:
    """Simulate the scenario of the run in a directory; raises ConfigurationError if it holds no readable run."""
    live = record.load(directory)
    if live.summary.kind == "simulate":
        raise ConfigurationError(f"{directory}: is a simulation itself; a live run is needed, from `rayroom load`.")
    assumptions, notes = measured(live)
    scenario = _scenario(live, directory)
    experiment = Experiment(
        scenario=scenario, directory=SHIPPED, app=app, assumptions=assumptions, recordings=recordings
    )
    simulated = simulate(experiment, command=f"rayroom validate {directory}")
    return ValidatedRun(
        name=scenario.name,
        directory=directory,
        differences=differences(live.summary.totals, simulated.summary.totals),
        notes=notes,
    )


def measured(live: record.Run) -> tuple[Assumptions, tuple[str, ...]]:
    """Return the assumptions with the live run's measurements, and a sentence on each of them."""
    defaults = Assumptions().model_dump()
    own, own_note = _own(live)
    cold, cold_note = _cold_start(live)
    return Assumptions.model_validate(defaults | own | cold), (own_note, cold_note)


def differences(live: record.Totals, simulated: record.Totals) -> tuple[FigureDifference, ...]:
    """Return the figures that both runs have, those of the deployments first."""
    deployments = [name for name in live.replica_seconds if name in simulated.replica_seconds]
    rows = [
        FigureDifference(
            figure=f"replica-seconds {name}",
            live=live.replica_seconds[name],
            simulated=simulated.replica_seconds[name],
        )
        for name in deployments
    ]
    shares = [None if totals.shed_share is None else 100 * totals.shed_share for totals in (live, simulated)]
    rows.append(FigureDifference(figure="p95_ms", live=live.p95_ms, simulated=simulated.p95_ms))
    rows.append(FigureDifference(figure="shed_percent", live=shares[0], simulated=shares[1]))
    return tuple(rows)


def start_times(rows: Sequence[dict[str, Any]]) -> list[float]:
    """Return the seconds from each increase of the target until that many replicas ran, from samples in order."""
    times, rises = [], list[tuple[float, int]]()
    target = rows[0]["target_replicas"] if rows else None
    for row in rows:
        current, running = row["target_replicas"], row["running_replicas"]
        if current is None or running is None:
            continue
        if target is not None and current > target:
            rises.append((row["at_s"], current))
        target = current
        # A target that was lowered in the meantime is never reached.
        rises = [(at_s, count) for at_s, count in rises if count <= current]
        times += [row["at_s"] - at_s for at_s, count in rises if running >= count]
        rises = [(at_s, count) for at_s, count in rises if running < count]
    return times


def _own(live: record.Run) -> tuple[dict[str, float], str]:
    """Return the application's own time: its median, and its spread in a median second, which has no queue."""
    p50_ms = live.summary.totals.own_p50_ms
    p95s_ms = live.traffic.column("own_p95_ms").drop_null().to_numpy()
    if not p50_ms or not len(p95s_ms):
        return {}, f"own time assumed: {Assumptions().own_ms:g} ms; the run has none."
    sigma = max(0.0, math.log(max(float(np.median(p95s_ms)), p50_ms) / p50_ms) / P95_SIGMAS)
    values = {"own_ms": p50_ms, "own_sigma": min(sigma, 3.0), "request_cpu_ms": 0.0, "replica_cpu_ms": 0.0}
    return values, f"own time measured: p50 {p50_ms:.1f} ms, sigma {sigma:.2f}."


def _cold_start(live: record.Run) -> tuple[dict[str, float], str]:
    times: list[float] = []
    for name in pc.unique(live.replicas.column("deployment")).to_pylist():
        rows = live.replicas.filter(pc.field("deployment") == name).sort_by("at_s").to_pylist()
        times += start_times(rows)
    defaults = Assumptions()
    if not times:
        return (
            {},
            f"cold start assumed: {defaults.cold_start_from_s:g} to {defaults.cold_start_to_s:g} s; none was seen.",
        )
    from_s, to_s = max(0.1, min(times)), max(0.1, *times)
    # The measured times already include other replicas starting.
    values = {"cold_start_from_s": from_s, "cold_start_to_s": to_s, "starts_at_once": 1e6}
    return values, f"cold start measured: {from_s:.1f} to {to_s:.1f} s, {len(times)} times."


def _scenario(live: record.Run, directory: Path) -> Scenario:
    try:
        return Scenario.model_validate(live.summary.scenario)
    except ValidationError as error:
        lines = explain(error, "scenario", Scenario)
        raise ConfigurationError("\n".join([f"{directory}/run.json:", *lines])) from None
