"""Separates cells that changed from cells that only look different after a codec. Knows one pair of grids at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from room_agent.frames.i420 import Plane
from room_agent.frames.regions import Indexes

_SAMPLE = 1024
"""Of more cells than this only so many are looked at: enough to see that a scene changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSettings:
    """How far a cell must move to count, in luma levels of 0..255 and in parts of the contrast around it.

    Tuned on rendered desktops sent through VP8, VP9 and H.264 at the bit rates of screen shares.
    """

    luma: int = 10
    contrast: float = 0.20
    many_cells: int = 320
    many_luma: int = 18
    many_contrast: float = 0.50
    drift_luma: int = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HotCells:
    """Flat indexes of the changed cells, ascending, and how far each moved in luma levels.

    Where there are very many, `indexes` is a sample and `count` an estimate.
    """

    indexes: Indexes
    moved_luma: Plane
    count: int


_NONE = HotCells(indexes=np.empty(0, np.intp), moved_luma=np.empty(0, np.uint8), count=0)


class NoiseGate:
    """Compares grids of one shape; for one thread at a time."""

    def __init__(self, shape: tuple[int, int], settings: NoiseSettings) -> None:
        self._settings = settings
        # Fresh memory would cost more than the arithmetic: each page is faulted in anew for every frame.
        self._moved, self._lower = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._beyond = np.empty(shape, np.bool_)

    def hot(self, grid: Plane, reference: Plane) -> HotCells:
        """Return the cells that moved beyond noise; with many of them, only what survives a rise in quality too."""
        if not self._any_beyond(grid, reference):
            return _NONE
        grid = _without_drift(grid, reference, self._settings.drift_luma)
        self._any_beyond(grid, reference)
        found = np.flatnonzero(self._beyond)
        settings = self._settings
        hot = self._survivors(found, grid, reference, settings.contrast, 0)
        if hot.count > settings.many_cells:
            hot = self._survivors(found, grid, reference, settings.many_contrast, settings.many_luma)
        return hot

    def _any_beyond(self, grid: Plane, reference: Plane) -> bool:
        """Note how far each cell moved and whether that is beyond the limit; return whether one is."""
        np.maximum(grid, reference, out=self._moved)
        np.minimum(grid, reference, out=self._lower)
        np.subtract(self._moved, self._lower, out=self._moved)
        np.greater(self._moved, self._settings.luma, out=self._beyond)
        return bool(self._beyond.any())

    def _survivors(self, found: Indexes, grid: Plane, reference: Plane, part: float, textured_luma: int) -> HotCells:
        """Return those of `found` that moved by a part of the contrast around them."""
        step = max(-(-found.size // _SAMPLE), 1)
        cells = self._beyond_contrast(found[::step], grid, reference, part, textured_luma)
        if step > 1 and cells.size * step <= self._settings.many_cells:
            step, cells = 1, self._beyond_contrast(found, grid, reference, part, textured_luma)
        return HotCells(indexes=cells, moved_luma=self._moved.ravel()[cells], count=cells.size * step)

    def _beyond_contrast(
        self, cells: Indexes, grid: Plane, reference: Plane, part: float, textured_luma: int
    ) -> Indexes:
        """Return the cells that moved by more than a part of the contrast in the busier picture.

        Where that contrast is more than `textured_luma`, they must have moved by more than that, too.
        """
        contrast = np.maximum(_contrast(grid, cells), _contrast(reference, cells))
        moved = self._moved.ravel()[cells]
        return cells[(moved > contrast * part) & (moved > np.minimum(contrast, textured_luma))]


def _without_drift(grid: Plane, reference: Plane, most_luma: int) -> Plane:
    """Return the grid with the median change taken off, if that is small: the whole picture got brighter or darker."""
    moved = np.subtract(grid[::8, ::8], reference[::8, ::8], dtype=np.int16).ravel()
    drift = max(-most_luma, min(int(np.median(moved)), most_luma))
    return grid if drift == 0 else np.clip(grid.astype(np.int16) - drift, 0, 255).astype(np.uint8)


def _contrast(grid: Plane, cells: Indexes) -> Plane:
    """Return the largest less the smallest of the 3x3 cells around each."""
    rows, columns = np.divmod(cells, grid.shape[1])
    around_rows = np.clip(rows + np.array([[-1], [0], [1]]), 0, grid.shape[0] - 1)
    around_columns = np.clip(columns + np.array([[-1], [0], [1]]), 0, grid.shape[1] - 1)
    around = grid[around_rows[:, None], around_columns[None, :]].reshape(9, -1)
    contrast: Plane = around.max(axis=0, initial=0) - around.min(axis=0, initial=255)
    return contrast
