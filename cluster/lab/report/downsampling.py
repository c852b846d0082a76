"""Downsample a run's tables for charts: one point for each stretch of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

MOST_POINTS = 240
_STRETCHES_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600)
Floats = NDArray[np.float64]
Points = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """How a run's time is drawn: how long a stretch is, and in which unit an axis counts."""

    last_s: float
    stretch_s: float
    unit: str
    unit_s: float


def clock(*tables: pa.Table) -> TimeAxis:
    """Return the clock of all these tables together, so that charts of one page share one axis."""
    last_s = max((float(np.max(at)) for at in (column(table, "at_s") for table in tables) if len(at)), default=0.0)
    fitting = (stretch_s for stretch_s in _STRETCHES_S if last_s / stretch_s <= MOST_POINTS)
    unit, unit_s = ("seconds", 1.0) if last_s < 600 else ("minutes", 60.0) if last_s < 4 * 3_600 else ("hours", 3_600.0)
    return TimeAxis(last_s=last_s, stretch_s=next(fitting, last_s / MOST_POINTS), unit=unit, unit_s=unit_s)


def column(table: pa.Table, name: str) -> Floats:
    """Return a column as floats; null becomes NaN."""
    values = table.column(name).cast(pa.float64()).to_numpy()
    return np.asarray(values, dtype=np.float64)


def known(table: pa.Table, name: str) -> bool:
    return bool(np.isfinite(column(table, name)).any())


def total(table: pa.Table, name: str) -> int | None:
    """Return a column's sum in whole numbers; not known where one of its values is not."""
    values: Sequence[int | None] = table.column(name).to_pylist()
    present = [value for value in values if value is not None]
    return sum(present) if values and len(present) == len(values) else None


def mean(values: Floats) -> float:
    return float(np.mean(values))


def highest(values: Floats) -> float:
    return float(np.max(values))


def middle(values: Floats) -> float:
    return float(np.median(values))


def last(values: Floats) -> float:
    return float(values[-1])


def points(table: pa.Table, name: str, time: TimeAxis, join: Callable[[Floats], float]) -> Points:
    """Return a column over time in the clock's unit: each stretch is one point, joined from its known values."""
    at_s, values = column(table, "at_s"), column(table, name)
    order = np.argsort(at_s, kind="stable")
    at_s, values = at_s[order], values[order]
    stretches = np.floor(at_s / time.stretch_s).astype(np.int64)
    found = []
    for stretch in np.unique(stretches):
        inside = values[stretches == stretch]
        inside = inside[np.isfinite(inside)]
        # Without thinning a point stands where it was measured.
        at = at_s[stretches == stretch][0] if len(inside) == 1 else stretch * time.stretch_s
        found.append((float(at) / time.unit_s, join(inside) if len(inside) else None))
    return tuple(found)


def deployments(replicas: pa.Table) -> dict[str, pa.Table]:
    """Return the table of each deployment, in the order in which they were first sampled."""
    names = dict.fromkeys(replicas.column("deployment").to_pylist())
    return {str(name): replicas.filter(compute.equal(replicas.column("deployment"), name)) for name in names}
