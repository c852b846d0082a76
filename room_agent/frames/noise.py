"""Separates grid cells that changed from cells that only look different after a codec.

The limits were tuned on rendered desktops sent through VP8, VP9 and H.264 at the bit rates of screen shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from room_agent.frames.i420 import Plane
from room_agent.frames.regions import Indexes

MANY_CELLS = 320
"""Above this count the stricter limits below hold: a key frame or a rise in quality touches the whole picture."""

# A cell must move by more than this many luma levels of 0..255, and by this part of the contrast around it.
_LUMA = 10
_CONTRAST = 0.20
_MANY_LUMA = 18
_MANY_CONTRAST = 0.50
# The largest change of brightness of the whole picture that counts as drift and is subtracted.
_DRIFT_LUMA = 4
# The most cells whose contrast is computed: enough to see that a scene changed.
_SAMPLE = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangedCells:
    """Flat indexes of the changed cells, ascending, and the luma levels by which each moved.

    Where there are very many, `indexes` is a sample and `count` an estimate.
    """

    indexes: Indexes
    moved_luma: Plane
    count: int


_NONE = ChangedCells(indexes=np.empty(0, np.intp), moved_luma=np.empty(0, np.uint8), count=0)


class NoiseGate:
    """Compares grids of one shape; for one thread at a time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        # Fresh memory would cost more than the arithmetic: each page is faulted in anew for every frame.
        self._moved, self._lower = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._beyond = np.empty(shape, np.bool_)

    def changed_cells(self, grid: Plane, reference: Plane) -> ChangedCells:
        """Return the cells that moved beyond noise. With many of them, return only those beyond the strict limits."""
        if not self._any_beyond(grid, reference):
            return _NONE
        grid = _without_drift(grid, reference)
        self._any_beyond(grid, reference)
        candidates = np.flatnonzero(self._beyond)
        cells = self._survivors(candidates, grid, reference, _CONTRAST, 0)
        if cells.count > MANY_CELLS:
            cells = self._survivors(candidates, grid, reference, _MANY_CONTRAST, _MANY_LUMA)
        return cells

    def _any_beyond(self, grid: Plane, reference: Plane) -> bool:
        """Store each cell's movement and whether it exceeds `_LUMA`; return whether any does."""
        # The difference of unsigned bytes: the larger less the smaller, so that nothing wraps around.
        np.maximum(grid, reference, out=self._moved)
        np.minimum(grid, reference, out=self._lower)
        np.subtract(self._moved, self._lower, out=self._moved)
        np.greater(self._moved, _LUMA, out=self._beyond)
        return bool(self._beyond.any())

    def _survivors(
        self, candidates: Indexes, grid: Plane, reference: Plane, part: float, textured_luma: int
    ) -> ChangedCells:
        """Return those of `candidates` that moved by a part of the contrast around them."""
        step = max(-(-candidates.size // _SAMPLE), 1)
        cells = self._beyond_contrast(candidates[::step], grid, reference, part, textured_luma)
        # Few of the sample survived: count exactly, because the regions are built from these cells.
        if step > 1 and cells.size * step <= MANY_CELLS:
            step, cells = 1, self._beyond_contrast(candidates, grid, reference, part, textured_luma)
        return ChangedCells(indexes=cells, moved_luma=self._moved.ravel()[cells], count=cells.size * step)

    def _beyond_contrast(
        self, cells: Indexes, grid: Plane, reference: Plane, part: float, textured_luma: int
    ) -> Indexes:
        """Return the cells that moved by more than a part of the contrast in the busier picture.

        Where that contrast exceeds `textured_luma`, the movement must exceed `textured_luma` too.
        """
        contrast = np.maximum(_contrast(grid, cells), _contrast(reference, cells))
        moved = self._moved.ravel()[cells]
        return cells[(moved > contrast * part) & (moved > np.minimum(contrast, textured_luma))]


def _without_drift(grid: Plane, reference: Plane) -> Plane:
    """Return the grid less the median change: the whole picture got brighter or darker by a few levels."""
    # One cell in 64 is enough for a median, and 64 times cheaper.
    moved = np.subtract(grid[::8, ::8], reference[::8, ::8], dtype=np.int16).ravel()
    drift = max(-_DRIFT_LUMA, min(int(np.median(moved)), _DRIFT_LUMA))
    return grid if drift == 0 else np.clip(grid.astype(np.int16) - drift, 0, 255).astype(np.uint8)


def _contrast(grid: Plane, cells: Indexes) -> Plane:
    """Return the largest less the smallest of the 3x3 cells around each."""
    rows, columns = np.divmod(cells, grid.shape[1])
    around_rows = np.clip(rows + np.array([[-1], [0], [1]]), 0, grid.shape[0] - 1)
    around_columns = np.clip(columns + np.array([[-1], [0], [1]]), 0, grid.shape[1] - 1)
    around = grid[around_rows[:, None], around_columns[None, :]].reshape(9, -1)
    contrast: Plane = around.max(axis=0, initial=0) - around.min(axis=0, initial=255)
    return contrast
