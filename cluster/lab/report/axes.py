"""Says where things stand on a chart: round ends for an axis, its ticks, and places for labels. Draws nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

APART_PX = 13
"""How near two labels may come to each other."""
_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class XAxis:
    """What the axis below counts; `names` gives some places of it a name of their own, and those alone."""

    title: str
    low: float
    high: float
    names: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class YAxis:
    """An upright axis, from its foot to its top."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def px(self, value: float, height_px: int) -> float:
        """Return how far below the plot's top a value stands."""
        return (1 - self._part(value)) * height_px

    def value(self, px: float, height_px: int) -> float:
        part = 1 - px / height_px
        return self.low * (self.high / self.low) ** part if self.log else self.low + part * (self.high - self.low)

    def _part(self, value: float) -> float:
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis(high: float, whole: bool) -> YAxis:
    """Return an axis from zero to a round figure that is not below `high`."""
    high = high or 1.0
    step = _round_up(high / _TICKS)
    if whole:
        step = max(1.0, math.ceil(step))
    count = max(1, math.ceil(high / step - 1e-9))
    return YAxis(low=0.0, high=step * count, ticks=tuple(round(step * tick, 9) for tick in range(count + 1)))


def log_axis(seen: Sequence[float]) -> YAxis:
    """Return an axis of whole powers of ten that holds every value above zero."""
    positive = [value for value in seen if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)
    ticks = tuple(float(f"{digit}e{power}") for power in range(low, high) for digit in (1, 2, 5))
    return YAxis(low=10.0**low, high=10.0**high, ticks=(*ticks, 10.0**high), log=True)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= value * (1 - 1e-9))


def spread(places_px: Sequence[float], height_px: float) -> list[float]:
    """Return places for labels, in the same order, none nearer to another than a line's height where there is room."""
    order = sorted(range(len(places_px)), key=lambda index: (places_px[index], index))
    placed = list(places_px)
    for before, after in itertools.pairwise(order):
        placed[after] = max(placed[after], placed[before] + APART_PX)
    limit_px = height_px
    for index in reversed(order):
        placed[index] = min(placed[index], limit_px)
        limit_px = placed[index] - APART_PX
    return placed
