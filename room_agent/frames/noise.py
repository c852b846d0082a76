"""Separates grid cells that changed from cells that only look different after a codec.

The limits were tuned on rendered desktops sent through VP8, VP9 and H.264 at the bit rates of screen shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from room_agent.frames.grid import CellGrid
from room_agent.frames.i420 import Plane
from room_agent.frames.regions import Indexes, Region

Mask = npt.NDArray[np.bool_]

MANY_CELLS = 320
"""Above this count the stricter limits below hold: a key frame or a rise in quality touches the whole picture."""

# A cell must move by more than this many luma levels of 0..255, and by this part of the contrast around it.
_LUMA = 10
_CONTRAST = 0.20
_MANY_LUMA = 18
_MANY_CONTRAST = 0.50
# Chroma is quieter than luma: over still VP8 sessions the largest step of a cell has a median of 1 level.
_CHROMA = 15
_CHROMA_CONTRAST = 0.35
_MANY_CHROMA_CONTRAST = 0.6
# A word in a pale colour moves its cells by no more than this, and so does a codec now and then.
_FAINT_LUMA = 4
_MOST_FAINT_CELLS = 120
_NOISY_CELLS = 720
# A tint, such as that of an added line in a diff, moves all cells of a blank area by more than this. A codec does not.
_TINT = 5
_TINT_CELLS = 24
_TINT_SHARE = 0.5
# The largest change of brightness of the whole picture that counts as drift and is subtracted.
_DRIFT_LUMA = 4
# Specks are the traces that key frames leave of sharp edges.
_SPECK_CELLS = 2
_SPECK_LUMA = 60
_SPECK_CHROMA = 60
FEW_SPECKS = 8
"""More specks than these are noise all over the picture."""
_FAINT_TEXT_SPECKS = 3
_TEXT_GAP_CELLS = 24
# The most cells whose contrast is computed: enough to see that a scene changed.
_SAMPLE = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangedCells:
    """Flat indexes of the changed cells, ascending, and the levels by which the luma and the chroma of each moved.

    Where there are very many, `indexes` is a sample and `count` an estimate; `candidates` holds all cells that moved by
    more than the least limits. `faint` holds the indexes of cells that moved by less, and `tinted` those of blank
    areas that moved by less; both are empty where the whole picture is noisy. `is_noisy` says that a change as small
    as a word may be lost in the noise.
    """

    indexes: Indexes
    candidates: Indexes
    luma: Plane
    chroma: Plane
    count: int
    faint: Indexes
    tinted: Indexes
    is_noisy: bool = False

    @property
    def nothing(self) -> bool:
        return not (self.count or self.faint.size or self.tinted.size)


_NO_CELLS = np.empty(0, np.intp)
_NO_LEVELS = np.empty(0, np.uint8)
_NONE = ChangedCells(
    indexes=_NO_CELLS,
    candidates=_NO_CELLS,
    luma=_NO_LEVELS,
    chroma=_NO_LEVELS,
    count=0,
    faint=_NO_CELLS,
    tinted=_NO_CELLS,
)


class NoiseGate:
    """Compares grids of one shape; for one thread at a time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        # Fresh memory would cost more than the arithmetic: each page is faulted in anew for every frame.
        self._luma, self._chroma = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._scratch, self._lower = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._most, self._beyond = np.empty(shape, np.uint8), np.empty(shape, np.bool_)
        self._contrasts = np.empty(shape, np.uint8)
        self._few = False

    def changed_cells(self, grid: CellGrid, reference: CellGrid, judged: Mask | None = None) -> ChangedCells:
        """Return the cells that moved beyond noise. With many of them, return only those beyond the strict limits.

        Cells outside the mask `judged` are ignored.
        """
        self._move(grid, reference)
        if int(self._most.max()) <= _FAINT_LUMA:
            return _NONE
        steady = self._without_drift(grid, reference)
        if steady is not grid:
            self._move(steady, reference)
        np.greater(self._most, _FAINT_LUMA, out=self._beyond)
        if judged is not None:
            np.logical_and(self._beyond, judged, out=self._beyond)
        moved = np.flatnonzero(self._beyond)
        # Of few cells the contrast is needed more than once.
        self._few = moved.size <= _SAMPLE
        if self._few:
            self._contrasts.ravel()[moved] = np.maximum(_contrast(steady.y, moved), _contrast(reference.y, moved))
        candidates = moved[(self._luma.ravel()[moved] > _LUMA) | (self._chroma.ravel()[moved] > _CHROMA)]
        indexes, count = self._survivors(candidates, steady, reference, strict=False)
        strict = count > MANY_CELLS
        if strict:
            indexes, count = self._survivors(candidates, steady, reference, strict)
        return ChangedCells(
            indexes=indexes,
            candidates=candidates,
            luma=self._luma.ravel()[indexes],
            chroma=self._chroma.ravel()[indexes],
            count=count,
            faint=_NO_CELLS if strict else self._faint(moved, steady, reference),
            tinted=_NO_CELLS if strict else self._tinted(moved, steady, reference),
            is_noisy=strict or moved.size > _NOISY_CELLS,
        )

    def luma_moved(self, cells: Indexes) -> Plane:
        """Return by how many luma levels some cells moved in the last comparison."""
        return self._luma.ravel()[cells]

    def _contrast_of(self, cells: Indexes, grid: CellGrid, reference: CellGrid) -> Plane:
        """Return the luma contrast around cells, some of those that moved, in the busier of two pictures."""
        if self._few:
            return self._contrasts.ravel()[cells]
        contrast: Plane = np.maximum(_contrast(grid.y, cells), _contrast(reference.y, cells))
        return contrast

    def _move(self, grid: CellGrid, reference: CellGrid) -> None:
        """Store by how many levels the luma and the chroma of each cell moved."""
        self._distance(grid.y, reference.y, self._luma)
        self._distance(grid.u, reference.u, self._chroma)
        self._distance(grid.v, reference.v, self._scratch)
        np.maximum(self._chroma, self._scratch, out=self._chroma)
        np.maximum(self._luma, self._chroma, out=self._most)

    def _without_drift(self, grid: CellGrid, reference: CellGrid) -> CellGrid:
        """Return the grid less the median change: the whole picture got brighter or darker by a few levels."""
        # One cell in 256 is enough for a median, and 256 times cheaper.
        sample = (slice(None, None, 16),) * 2
        if 2 * np.count_nonzero(self._luma[sample]) < self._luma[sample].size:
            return grid
        moved = np.subtract(grid.y[sample], reference.y[sample], dtype=np.int16).ravel()
        middle = moved.size // 2
        drift = max(-_DRIFT_LUMA, min(int(np.partition(moved, middle)[middle]), _DRIFT_LUMA))
        if drift == 0:
            return grid
        return CellGrid(y=np.clip(grid.y.astype(np.int16) - drift, 0, 255).astype(np.uint8), u=grid.u, v=grid.v)

    def _distance(self, one: Plane, other: Plane, out: Plane) -> None:
        # The difference of unsigned bytes: the larger less the smaller, so that nothing wraps around.
        np.maximum(one, other, out=out)
        np.minimum(one, other, out=self._lower)
        np.subtract(out, self._lower, out=out)

    def _survivors(self, candidates: Indexes, grid: CellGrid, reference: CellGrid, strict: bool) -> tuple[Indexes, int]:
        """Return those of `candidates` that moved by a part of the contrast around them, and their number."""
        step = max(-(-candidates.size // _SAMPLE), 1)
        cells = self._beyond_contrast(candidates[::step], grid, reference, strict)
        # Few of the sample survived: count exactly, because the regions are built from these cells.
        if step > 1 and cells.size * step <= MANY_CELLS:
            step, cells = 1, self._beyond_contrast(candidates, grid, reference, strict)
        return cells, cells.size * step

    def _beyond_contrast(self, cells: Indexes, grid: CellGrid, reference: CellGrid, strict: bool) -> Indexes:
        """Return the cells whose luma or chroma moved by more than a part of the contrast in the busier picture.

        Where the limits are strict and that contrast exceeds a level, luma must move by that level too.
        """
        contrast = self._contrast_of(cells, grid, reference)
        luma = self._luma.ravel()[cells]
        kept = (luma > _LUMA) & (luma > contrast * (_MANY_CONTRAST if strict else _CONTRAST))
        kept &= luma > np.minimum(contrast, _MANY_LUMA if strict else 0)
        chroma = self._chroma.ravel()[cells]
        coloured = np.flatnonzero((chroma > _CHROMA) & ~kept)
        if coloured.size:
            some = cells[coloured]
            planes = (grid.u, reference.u, grid.v, reference.v)
            colour_contrast = np.maximum.reduce([_contrast(plane, some) for plane in planes])
            part = _MANY_CHROMA_CONTRAST if strict else _CHROMA_CONTRAST
            kept[coloured] = chroma[coloured] > colour_contrast * part
        return cells[kept]

    def _faint(self, moved: Indexes, grid: CellGrid, reference: CellGrid) -> Indexes:
        """Return those of the cells that moved by little, but by much of the contrast around them."""
        if not 0 < moved.size <= _NOISY_CELLS:
            return _NO_CELLS
        contrast = self._contrast_of(moved, grid, reference)
        cells = moved[self._luma.ravel()[moved] > np.maximum(_CONTRAST * contrast, _FAINT_LUMA)]
        return cells if cells.size <= _MOST_FAINT_CELLS else _NO_CELLS

    def _tinted(self, moved: Indexes, grid: CellGrid, reference: CellGrid) -> Indexes:
        """Return the cells that moved by little, if most of them lie in blank areas."""
        if moved.size < _TINT_CELLS:
            return _NO_CELLS
        cells = moved[self._most.ravel()[moved] > _TINT]
        if cells.size < _TINT_CELLS:
            return _NO_CELLS
        some = cells[:: max(cells.size // 64, 1)]
        contrast = self._contrast_of(some, grid, reference)
        blank = contrast < self._most.ravel()[some]
        return cells if blank.mean() >= _TINT_SHARE else _NO_CELLS


def specks_of(regions: Sequence[Region]) -> list[Region]:
    """Return the regions too small and faint to be content. Many of them mean stronger noise: the limits double."""
    faint = [region for region in regions if _is_speck(region, 1)]
    if len(faint) <= FEW_SPECKS:
        return faint
    return [region for region in regions if _is_speck(region, 2)]


def _is_speck(region: Region, times: int) -> bool:
    return (
        region.cells <= times * _SPECK_CELLS
        and region.weight_luma < times * _SPECK_LUMA
        and region.weight_chroma < times * _SPECK_CHROMA
    )


def faint_text_of(specks: Sequence[Region]) -> Sequence[Region]:
    """Return specks that stand close together on one row, unless there are many: pale grey text leaves no more."""
    if not _FAINT_TEXT_SPECKS <= len(specks) <= FEW_SPECKS:
        return ()
    rows = ([other for other in specks if _follows(speck, other)] for speck in specks)
    return next((row for row in rows if len(row) >= _FAINT_TEXT_SPECKS), ())


def _follows(speck: Region, other: Region) -> bool:
    return abs(other.top - speck.top) <= 2 and 0 <= other.left - speck.left <= _TEXT_GAP_CELLS


def _contrast(grid: Plane, cells: Indexes) -> Plane:
    """Return the largest less the smallest of the 3x3 cells around each.

    The cells at the left edge take those at the right edge of the row above for neighbours, which saves half the time.
    """
    columns = grid.shape[1]
    around = np.add.outer((np.arange(-1, 2)[:, None] * columns + np.arange(-1, 2)).ravel(), cells)
    values = grid.ravel().take(around, mode="clip")
    contrast: Plane = values.max(axis=0, initial=0) - values.min(axis=0, initial=255)
    return contrast
