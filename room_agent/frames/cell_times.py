"""Remembers since when each cell of a grid rests, and since when it differs from the kept picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from room_agent.frames.regions import Indexes, Region

# Of a large region this share of the cells must rest: a new slide may hold a small animation.
_LARGE_CELLS = 400
_LARGE_SHARE = 0.9


class CellTimes:
    """The times of one grid of `cells` cells, in seconds of one clock; for one thread at a time."""

    def __init__(self, cells: int) -> None:
        self._changed_s = np.full(cells, -np.inf)
        self._differs_s = np.full(cells, np.inf)
        self._differing: Indexes = np.empty(0, np.intp)
        self._sampled_s: float | None = None

    def changed(self, cells: Indexes, now_s: float) -> None:
        """Store that `cells` changed since the look before."""
        self._changed_s[cells] = now_s

    def differ(self, regions: Iterable[Region], now_s: float) -> None:
        """Store which regions differ from the kept picture at this look; all other cells equal it."""
        regions = list(regions)
        if not any(_is_sampled(region) for region in regions):
            self._sampled_s = None
        elif self._sampled_s is None:
            self._sampled_s = now_s
        cells = np.concatenate([np.empty(0, np.intp), *(region.indexes for region in regions)])
        since_s = np.minimum(self._differs_s[cells], now_s)
        self._differs_s[self._differing] = np.inf
        self._differs_s[cells] = since_s
        self._differing = cells

    def resting_s(self, region: Region, now_s: float) -> float:
        """Return for how long a region has not changed; infinity if it never did."""
        if not region.indexes.size:
            return np.inf
        times_s = self._changed_s[region.indexes]
        last = int(_LARGE_SHARE * (times_s.size - 1)) if region.cells >= _LARGE_CELLS else times_s.size - 1
        return now_s - float(np.partition(times_s, last)[last])

    def waiting_s(self, region: Region, now_s: float) -> float:
        """Return for how long a part of the region has differed from the kept picture."""
        if _is_sampled(region):
            # Each look takes other cells into its sample, so their own times mean nothing.
            return 0.0 if self._sampled_s is None else now_s - self._sampled_s
        return now_s - float(self._differs_s[region.indexes].min())


def _is_sampled(region: Region) -> bool:
    return region.indexes.size != region.cells
