"""Recent latencies of each model with their median, and a percentile function."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cachetools import FIFOCache

KEPT = 128
MOST_MODELS = 256
FEWEST = 8
"""Latencies needed for a median: with fewer it is a guess."""


@dataclass(slots=True)
class RecentLatencies:
    """The last latencies of one model, in seconds; the oldest is dropped first."""

    _order: deque[float] = field(default_factory=deque)
    _ranked: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self._order.append(seconds)
        insort(self._ranked, seconds)
        if len(self._order) > KEPT:
            del self._ranked[bisect_left(self._ranked, self._order.popleft())]

    def median_s(self) -> float | None:
        """Return the median latency, or None while there are fewer than `FEWEST`."""
        return None if len(self._ranked) < FEWEST else self._ranked[len(self._ranked) // 2]


class ModelLatencies:
    """The recent latencies of each model; the one that answered longest ago is dropped first."""

    def __init__(self) -> None:
        self._latencies: FIFOCache[str, RecentLatencies] = FIFOCache(MOST_MODELS)

    def add(self, model: str, seconds: float) -> None:
        latencies = self._latencies.get(model) or RecentLatencies()
        latencies.add(seconds)
        self._latencies[model] = latencies

    def median_s(self, model: str) -> float | None:
        """Return the model's median latency in seconds, or None while too few are known."""
        latencies = self._latencies.get(model)
        return None if latencies is None else latencies.median_s()


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of an ordered, non-empty sequence; `share` is 0..1."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
