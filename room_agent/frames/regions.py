"""Joins changed grid cells into regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from room_agent.frames.i420 import Plane

BRIDGE_CELLS = 3
"""Cells this far apart belong together: the strokes of a letter, the letters of a word."""

MOST_RUNS = 400
_MOST_BOXES = 8

Indexes = npt.NDArray[np.intp]
_NO_CELLS: Indexes = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Neighbouring cells that changed: rows [top, bottom) and columns [left, right) of the grid.

    `weight_luma` sums the luma levels by which each cell moved, `weight_chroma` the chroma levels. `indexes` are the
    flat indexes of the cells; of a whole picture they are a sample.
    """

    top: int
    bottom: int
    left: int
    right: int
    cells: int
    weight_luma: int
    weight_chroma: int = 0
    indexes: Indexes = field(default_factory=lambda: _NO_CELLS, repr=False, compare=False)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def joined(self, other: Region) -> Region:
        """Return the region around both."""
        return Region(
            top=min(self.top, other.top),
            bottom=max(self.bottom, other.bottom),
            left=min(self.left, other.left),
            right=max(self.right, other.right),
            cells=self.cells + other.cells,
            weight_luma=self.weight_luma + other.weight_luma,
            weight_chroma=self.weight_chroma + other.weight_chroma,
            indexes=np.concatenate((self.indexes, other.indexes)),
        )

    def overlaps(self, other: Region, margin: int = 0) -> bool:
        """Return whether the boxes of both touch, or lie within `margin` cells of each other."""
        return (
            self.top < other.bottom + margin
            and other.top < self.bottom + margin
            and self.left < other.right + margin
            and other.left < self.right + margin
        )


def find_regions(
    cells: Indexes, luma: Plane, columns: int, chroma: Plane | None = None, bridge: int = BRIDGE_CELLS
) -> list[Region]:
    """Return the regions that `cells` form: ascending flat indexes into a grid of `columns` columns.

    `luma` and `chroma` hold the levels by which each cell moved. The time grows with the square of the number of
    runs (320: about 0.3 ms), so cells in more than `MOST_RUNS` runs form no regions: they are noise.
    """
    if not cells.size:
        return []
    rows, lefts = np.divmod(cells, columns)
    starts = _run_starts(cells, rows, bridge)
    if starts.size > MOST_RUNS:
        return []
    ends = np.append(starts[1:], cells.size)
    tops, lefts, rights = rows[starts], lefts[starts], lefts[ends - 1] + 1
    labels = _joined(tops, lefts, rights, bridge)
    # The runs of each region, one region after the other, so that one pass adds up each of its figures.
    order = np.argsort(labels, kind="stable")
    firsts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    figures = zip(
        np.minimum.reduceat(tops[order], firsts).tolist(),
        np.maximum.reduceat(tops[order], firsts).tolist(),
        np.minimum.reduceat(lefts[order], firsts).tolist(),
        np.maximum.reduceat(rights[order], firsts).tolist(),
        *(_sums(levels, starts, order, firsts) for levels in (luma, chroma)),
        _cells_of(cells, labels, starts, ends, firsts.size),
        strict=True,
    )
    return [
        Region(
            top=top,
            bottom=bottom + 1,
            left=left,
            right=right,
            cells=indexes.size,
            weight_luma=weight_luma,
            weight_chroma=weight_chroma,
            indexes=indexes,
        )
        for top, bottom, left, right, weight_luma, weight_chroma, indexes in figures
    ]


def all_within(cells: Indexes, regions: Sequence[Region], columns: int, margin: int) -> bool:
    """Return whether each of `cells` lies in the box of a region or within `margin` cells of it."""
    if len(regions) > _MOST_BOXES:
        return not cells.size
    rows, lefts = np.divmod(cells, columns)
    outside = np.ones(cells.size, np.bool_)
    for region in regions:
        outside &= (
            (rows < region.top - margin)
            | (rows >= region.bottom + margin)
            | (lefts < region.left - margin)
            | (lefts >= region.right + margin)
        )
    return not outside.any()


def around_all(cells: Indexes, luma: Plane, chroma: Plane, count: int, columns: int) -> Region:
    """Return one region around all of `cells`, which may be a sample of `count`."""
    rows, lefts = np.divmod(cells, columns)
    return Region(
        top=int(rows.min()),
        bottom=int(rows.max()) + 1,
        left=int(lefts.min()),
        right=int(lefts.max()) + 1,
        cells=count,
        weight_luma=int(luma.sum()),
        weight_chroma=int(chroma.sum()),
        indexes=cells,
    )


def bounds(regions: Iterable[Region]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the box around all regions, in cells."""
    boxes = [(region.left, region.top, region.right, region.bottom) for region in regions]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _run_starts(cells: Indexes, rows: Indexes, bridge: int) -> Indexes:
    """Return the positions at which a run begins: on another row, or after a gap wider than the bridge."""
    breaks = (np.diff(cells) > bridge + 1) | (np.diff(rows) > 0)
    return np.append(0, np.flatnonzero(breaks) + 1)


def _sums(levels: Plane | None, starts: Indexes, order: Indexes, firsts: Indexes) -> list[int]:
    """Return the sum of the cells' levels over each region; zeros without levels."""
    if levels is None:
        return [0] * int(firsts.size)
    of_runs = np.add.reduceat(levels, starts, dtype=np.int64)
    sums: list[int] = np.add.reduceat(of_runs[order], firsts).tolist()
    return sums


def _cells_of(cells: Indexes, labels: Indexes, starts: Indexes, ends: Indexes, regions: int) -> list[Indexes]:
    """Return the cells of each region, in ascending order."""
    if regions == 1:
        return [cells]
    of_cells = labels.repeat(ends - starts)
    order = np.argsort(of_cells, kind="stable")
    return np.split(cells[order], np.flatnonzero(np.diff(of_cells[order])) + 1)


def _joined(tops: Indexes, lefts: Indexes, rights: Indexes, bridge: int) -> Indexes:
    """Return a label for each run, equal for runs that touch directly or through others."""
    near = np.abs(tops[:, None] - tops) <= bridge + 1
    near &= lefts[:, None] <= rights + bridge
    near &= rights[:, None] >= lefts - bridge
    labels = np.arange(tops.size)
    while True:
        # Each run takes the lowest label among its neighbours, then that label's own: a chain of n runs settles in
        # about log2(n) passes.
        lowest = np.where(near, labels, tops.size).min(axis=1)
        lowest = lowest[lowest]
        if np.array_equal(lowest, labels):
            return labels
        labels = lowest
