"""Recent response times of each target, their quantiles, and a percentile function."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

KEPT = 128
MOST_TARGETS = 256
FEWEST = 8
"""Samples needed for a quantile: with fewer it is a guess."""


@dataclass(slots=True)
class RecentLatencies:
    """The last response times of one target, in seconds, with the oldest evicted first."""

    kept: int = KEPT
    _order: deque[float] = field(default_factory=deque)
    _ranked: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self._order.append(seconds)
        insort(self._ranked, seconds)
        if len(self._order) > self.kept:
            del self._ranked[bisect_left(self._ranked, self._order.popleft())]

    def quantile(self, part: float, fewest: int = FEWEST) -> float | None:
        """Return the time within which the share `part` of answers came, or None with fewer than `fewest` samples."""
        if len(self._ranked) < max(fewest, 1):
            return None
        return self._ranked[min(int(part * len(self._ranked)), len(self._ranked) - 1)]

    def __len__(self) -> int:
        return len(self._order)


class TargetLatencies:
    """The recent times of each target, with the least recently used target evicted first."""

    def __init__(self, kept: int = KEPT, most: int = MOST_TARGETS) -> None:
        self._kept = kept
        self._most = most
        self._times: OrderedDict[str, RecentLatencies] = OrderedDict()

    def of(self, model: str) -> RecentLatencies:
        if model not in self._times:
            self._times[model] = RecentLatencies(self._kept)
            if len(self._times) > self._most:
                self._times.popitem(last=False)
        self._times.move_to_end(model)
        return self._times[model]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of an ordered, non-empty sequence; `share` is 0..1."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
