"""Joins changed grid cells into regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from room_agent.frames.i420 import Plane

BRIDGE_CELLS = 3
"""Cells this far apart belong together: the strokes of a letter, the letters of a word."""

Indexes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Neighbouring cells that changed: rows [top, bottom) and columns [left, right) of the grid.

    `weight_luma` sums the luma levels by which each cell moved.
    """

    top: int
    bottom: int
    left: int
    right: int
    cells: int
    weight_luma: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


def find_regions(cells: Indexes, moved_luma: Plane, columns: int) -> list[Region]:
    """Return the regions that `cells` form: ascending flat indexes into a grid of `columns` columns.

    `moved_luma` holds the luma levels by which each cell moved. The time grows with the square of the number of
    runs, so the caller bounds the cells (320: about 0.3 ms).
    """
    rows, lefts = np.divmod(cells, columns)
    starts = _run_starts(cells, rows)
    tops, lefts, rights = rows[starts], lefts[starts], lefts[np.append(starts[1:], cells.size) - 1] + 1
    counts = np.diff(np.append(starts, cells.size))
    sums = np.add.reduceat(moved_luma, starts, dtype=np.intp)
    labels = _joined(tops, lefts, rights)
    regions = []
    for label in np.unique(labels):
        in_region = labels == label
        regions.append(
            Region(
                top=int(tops[in_region].min()),
                bottom=int(tops[in_region].max()) + 1,
                left=int(lefts[in_region].min()),
                right=int(rights[in_region].max()),
                cells=int(counts[in_region].sum()),
                weight_luma=int(sums[in_region].sum()),
            )
        )
    return regions


def _run_starts(cells: Indexes, rows: Indexes) -> Indexes:
    """Return the positions at which a run begins: on another row, or after a gap wider than the bridge."""
    breaks = (np.diff(cells) > BRIDGE_CELLS + 1) | (np.diff(rows) > 0)
    return np.append(0, np.flatnonzero(breaks) + 1)


def _joined(tops: Indexes, lefts: Indexes, rights: Indexes) -> Indexes:
    """Return a label for each run, equal for runs that touch directly or through others."""
    near = np.abs(tops[:, None] - tops) <= BRIDGE_CELLS + 1
    near &= lefts[:, None] <= rights + BRIDGE_CELLS
    near &= rights[:, None] >= lefts - BRIDGE_CELLS
    labels = np.arange(tops.size)
    while True:
        # Each run takes the lowest label among its neighbours, then that label's own: a chain of n runs settles in
        # about log2(n) passes.
        lowest = np.where(near, labels, tops.size).min(axis=1)
        lowest = lowest[lowest]
        if np.array_equal(lowest, labels):
            return labels
        labels = lowest
