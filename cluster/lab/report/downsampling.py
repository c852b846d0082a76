"""Downsample a run's tables for charts: one point for each interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

MAX_POINTS = 240
_INTERVALS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600)
Floats = NDArray[np.float64]
Points = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """The time axis of a run: the length of an interval and the unit of the axis."""

    last_s: float
    interval_s: float
    unit: str
    unit_s: float


def clock(*tables: pa.Table) -> TimeAxis:
    """Return one time axis for all these tables, so that the charts of a page share it."""
    last_s = max((float(np.max(at)) for at in (column(table, "at_s") for table in tables) if len(at)), default=0.0)
    fitting = (interval_s for interval_s in _INTERVALS_S if last_s / interval_s <= MAX_POINTS)
    unit, unit_s = ("seconds", 1.0) if last_s < 600 else ("minutes", 60.0) if last_s < 4 * 3_600 else ("hours", 3_600.0)
    return TimeAxis(last_s=last_s, interval_s=next(fitting, last_s / MAX_POINTS), unit=unit, unit_s=unit_s)


def column(table: pa.Table, name: str) -> Floats:
    """Return a column as floats; null becomes NaN."""
    values = table.column(name).cast(pa.float64()).to_numpy()
    return np.asarray(values, dtype=np.float64)


def known(table: pa.Table, name: str) -> bool:
    return bool(np.isfinite(column(table, name)).any())


def total(table: pa.Table, name: str) -> int | None:
    """Return a column's sum as an integer, or None if one of its values is unknown."""
    values: Sequence[int | None] = table.column(name).to_pylist()
    known_values = [value for value in values if value is not None]
    return sum(known_values) if values and len(known_values) == len(values) else None


def mean(values: Floats) -> float:
    return float(np.mean(values))


def highest(values: Floats) -> float:
    return float(np.max(values))


def middle(values: Floats) -> float:
    return float(np.median(values))


def last(values: Floats) -> float:
    return float(values[-1])


def points(table: pa.Table, name: str, time: TimeAxis, aggregate: Callable[[Floats], float]) -> Points:
    """Return a column over time in the axis's unit: each interval is one point, aggregated from its known values."""
    at_s, values = column(table, "at_s"), column(table, name)
    order = np.argsort(at_s, kind="stable")
    at_s, values = at_s[order], values[order]
    intervals = np.floor(at_s / time.interval_s).astype(np.int64)
    result = []
    for interval in np.unique(intervals):
        known_values = values[intervals == interval]
        known_values = known_values[np.isfinite(known_values)]
        # A single value keeps the time at which it was measured.
        at = at_s[intervals == interval][0] if len(known_values) == 1 else interval * time.interval_s
        result.append((float(at) / time.unit_s, aggregate(known_values) if len(known_values) else None))
    return tuple(result)


def deployments(replicas: pa.Table) -> dict[str, pa.Table]:
    """Return the table of each deployment, in the order in which they were first sampled."""
    names = dict.fromkeys(replicas.column("deployment").to_pylist())
    return {str(name): replicas.filter(compute.equal(replicas.column("deployment"), name)) for name in names}
