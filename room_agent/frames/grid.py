"""Shrinks luma to a grid of cell means, the resolution at which frames are compared."""

from __future__ import annotations

from room_agent.frames.i420 import LumaScaler, Plane

# Codecs work in blocks of four pixels, so a 4x4 mean survives them best. Both simulcast layers of a 1080p share land
# on one grid: half the pixels, cells of half the side.
_CELL_PX_BY_WIDTH = ((3200, 8), (1440, 4), (640, 2))


def cell_px_of(width_px: int) -> int:
    """Return the side of a cell for a picture of this width: 8, 4, 2 or 1 pixels."""
    return next((side_px for min_px, side_px in _CELL_PX_BY_WIDTH if width_px >= min_px), 1)


class BlockMeans:
    """Computes the grids of pictures of one size; for one thread at a time.

    `shape` is (rows, columns). Where a side is no multiple of the cell's, all its cells shrink a little.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self.luma_shape = (height_px, width_px)
        self.cell_px = cell_px_of(width_px)
        self.shape = rows, columns = -(-height_px // self.cell_px), -(-width_px // self.cell_px)
        self.cells = rows * columns
        self._scaler = LumaScaler(columns, rows)

    def __call__(self, luma: Plane) -> Plane:
        """Return the mean luma of each cell, one byte a cell, in memory of its own."""
        return self._scaler(luma)
