"""Try every combination of some keys, and find the frontier of cost and latency."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from cluster.lab.results.record import Summary
from cluster.lab.simulator.experiment import Experiment
from cluster.lab.simulator.overrides import overridden, parse_assignments, parse_value
from cluster.lab.simulator.parallel import run_all
from routing.errors import ConfigurationError
from routing.units import NANOUSD_PER_USD

MAX_POINTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One combination and its figures after the warm-up."""

    values: dict[str, Any]
    replica_hours: float
    usd: float | None
    p95_ms: float | None
    slo_missing_s: float | None
    shed_share: float | None
    held: bool
    pareto: bool = False
    """Whether no other point is as good in cost, latency and targets, and better in one of these."""

    def row(self) -> dict[str, Any]:
        fields = asdict(self)
        return {**fields.pop("values"), **fields}


def parse_grid(assignments: Sequence[str]) -> dict[str, list[Any]]:
    """Parse the values of each key: `a,b,c`, or `a..b`, which doubles from a to b; raises ConfigurationError."""
    grid = {key: _values(key, text) for key, text in parse_assignments(assignments, "--sweep").items()}
    points = 1
    for values in grid.values():
        points *= len(values)
    if points > MAX_POINTS:
        raise ConfigurationError(f"--sweep: {points} combinations are more than {MAX_POINTS}.", "sweep")
    return grid


def sweep(experiment: Experiment, grid: Mapping[str, Sequence[Any]], processes: int | None) -> list[SweepPoint]:
    """Return a point for every combination, in order; raises ConfigurationError before the first one runs."""
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    experiments = [overridden(experiment, values) for values in combinations]
    summaries = run_all(experiments, processes)
    return mark([_point(values, summary) for values, summary in zip(combinations, summaries, strict=True)])


def mark(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Return the points, with the frontier marked."""
    return [
        SweepPoint(**{**_fields(point), "pareto": not any(_beats(other, point) for other in points)})
        for point in points
    ]


def save_sweep(directory: Path, scenario: str, command: str, points: Sequence[SweepPoint]) -> None:
    """Write `sweep.json` and `sweep.parquet`."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [point.row() for point in points]
    text = json.dumps({"scenario": scenario, "command": command, "points": rows}, indent=2)
    (directory / "sweep.json").write_text(text, "utf-8")
    parquet.write_table(pa.Table.from_pylist(rows), directory / "sweep.parquet")


def replica_hours(summary: Summary) -> float:
    return sum(summary.totals.replica_seconds.values()) / 3_600


def _point(values: dict[str, Any], summary: Summary) -> SweepPoint:
    totals = summary.totals
    return SweepPoint(
        values=values,
        replica_hours=round(replica_hours(summary), 4),
        usd=None if totals.cost_nanousd is None else totals.cost_nanousd / NANOUSD_PER_USD,
        p95_ms=totals.p95_ms,
        slo_missing_s=totals.slo_missing_s,
        shed_share=totals.shed_share,
        held=all(verdict.held for verdict in summary.verdicts),
    )


def _beats(other: SweepPoint, point: SweepPoint) -> bool:
    other_figures, own_figures = _minimised(other), _minimised(point)
    return other_figures != own_figures and all(a <= b for a, b in zip(other_figures, own_figures, strict=True))


def _minimised(point: SweepPoint) -> tuple[float, float, float]:
    """Return the figures to minimise; an unknown figure is infinite."""
    unknown = float("inf")
    return (
        point.replica_hours,
        unknown if point.p95_ms is None else point.p95_ms,
        unknown if point.slo_missing_s is None else point.slo_missing_s,
    )


def _fields(point: SweepPoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in SweepPoint.__dataclass_fields__}


def _values(key: str, text: str) -> list[Any]:
    first, dots, last = text.partition("..")
    if not dots:
        return [parse_value(part) for part in text.split(",")]
    start, end = parse_value(first), parse_value(last)
    if not all(isinstance(part, int | float) for part in (start, end)) or not 0 < start <= end:
        raise ConfigurationError(f"--sweep {key}={text}: FROM..TO needs two numbers above 0, the smaller first.", key)
    values = [start]
    while values[-1] * 2 < end and len(values) <= MAX_POINTS:
        values.append(values[-1] * 2)
    return values if values[-1] == end else [*values, end]
