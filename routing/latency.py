"""Recent latencies of each model with their median and p99, and a percentile function."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cachetools import FIFOCache

MAX_SAMPLES = 128
MAX_MODELS = 256
MIN_SAMPLES = 8
"""Latencies needed for a median: with fewer it is a guess."""
FEWEST_FOR_P99 = 100
"""With fewer latencies the slowest of them stands above the p99, or below it."""


@dataclass(slots=True)
class RecentLatencies:
    """The last latencies of one model, in seconds; the oldest is dropped first."""

    _order: deque[float] = field(default_factory=deque)
    _ranked: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self._order.append(seconds)
        insort(self._ranked, seconds)
        if len(self._order) > MAX_SAMPLES:
            del self._ranked[bisect_left(self._ranked, self._order.popleft())]

    def median_s(self) -> float | None:
        """Return the median latency, or None while there are fewer than `MIN_SAMPLES`."""
        return None if len(self._ranked) < MIN_SAMPLES else self._ranked[len(self._ranked) // 2]

    def p99_s(self, published_s: float | None) -> float | None:
        """Return the p99; while there are fewer than `FEWEST_FOR_P99`, the longest of these and the published p99.

        Returns None where neither is known well enough.
        """
        if len(self._ranked) >= FEWEST_FOR_P99:
            return percentile(self._ranked, 0.99)
        return None if published_s is None else max(published_s, *self._ranked[-1:])


class ModelLatencies:
    """The recent latencies of each model; the least recently used model is evicted first."""

    def __init__(self) -> None:
        self._latencies: FIFOCache[str, RecentLatencies] = FIFOCache(MAX_MODELS)

    def add(self, model: str, seconds: float) -> None:
        latencies = self._latencies.get(model) or RecentLatencies()
        latencies.add(seconds)
        self._latencies[model] = latencies

    def median_s(self, model: str) -> float | None:
        """Return the model's median latency in seconds, or None while too few are known."""
        latencies = self._latencies.get(model)
        return None if latencies is None else latencies.median_s()

    def p99_s(self, model: str, published_s: float | None) -> float | None:
        """Return the model's p99 in seconds, of its own latencies where they are enough, or None if it is unknown."""
        latencies = self._latencies.get(model)
        return published_s if latencies is None else latencies.p99_s(published_s)


def first_token_limit_s(p99_s: float | None, least_s: float, longest_s: float) -> float:
    """Return the seconds to wait for a first token while another model is left: the p99 within its bounds."""
    return longest_s if p99_s is None else min(max(p99_s, least_s), longest_s)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of an ordered, non-empty sequence; `share` is 0..1."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
