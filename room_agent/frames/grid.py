"""Shrinks a picture to three grids of cell means, the resolution at which frames are compared."""

from __future__ import annotations

from dataclasses import dataclass

from room_agent.frames.i420 import MeansScaler, Plane, Planes

# Codecs work in blocks of four pixels, so a 4x4 mean survives them best. Both simulcast layers of a 1080p share land
# on one grid: half the pixels, cells of half the side.
_CELL_PX_BY_WIDTH = ((3200, 8), (1440, 4), (640, 2))


def cell_px_of(width_px: int) -> int:
    """Return the side of a cell for a picture of this width: 8, 4, 2 or 1 pixels."""
    return next((side_px for min_px, side_px in _CELL_PX_BY_WIDTH if width_px >= min_px), 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellGrid:
    """The mean luma and the two mean chroma values of each cell: three arrays of one shape (rows, columns)."""

    y: Plane
    u: Plane
    v: Plane

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.y.shape
        return int(rows), int(columns)


class BlockMeans:
    """Computes the grids of pictures of one size; for one thread at a time.

    `shape` is (rows, columns). Where a side is no multiple of the cell's, all its cells shrink a little.
    """

    def __init__(self, width_px: int, height_px: int, cell_px: int | None = None) -> None:
        self.luma_shape = (height_px, width_px)
        self.cell_px = cell_px or cell_px_of(width_px)
        self.shape = rows, columns = -(-height_px // self.cell_px), -(-width_px // self.cell_px)
        self.cells = rows * columns
        self._scaler = MeansScaler(columns, rows)

    def grid(self, planes: Planes) -> CellGrid:
        """Return the means of all three planes, in memory of their own."""
        y, u, v = self._scaler(planes)
        return CellGrid(y=y, u=u, v=v)
