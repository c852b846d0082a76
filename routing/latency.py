"""Remember how long each model's last answers took, and return their median."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from dataclasses import dataclass, field

KEPT = 128
MOST_MODELS = 256
FEWEST = 8
"""Below so many latencies a median is a guess."""


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
        self._latencies: OrderedDict[str, RecentLatencies] = OrderedDict()

    def add(self, model: str, seconds: float) -> None:
        self._latencies.setdefault(model, RecentLatencies()).add(seconds)
        self._latencies.move_to_end(model)
        if len(self._latencies) > MOST_MODELS:
            self._latencies.popitem(last=False)

    def median_s(self, model: str) -> float | None:
        """Return the model's median latency in seconds, or None while too few are known."""
        latencies = self._latencies.get(model)
        return None if latencies is None else latencies.median_s()
