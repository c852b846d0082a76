"""Finds the parts of a picture that change at every look: videos, spinners, tickers, webcam pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from room_agent.frames.cursors import Mask
from room_agent.frames.regions import Indexes, Region, find_regions

TILE_CELLS = 8
"""The side of a tile, the unit in which motion is remembered: 32 pixels at 1080p."""

# A tile begins to move when it changed in four of the last five looks, or in six of the last sixteen. Around it, tiles
# that changed in five of the last sixteen belong to the same motion: a line that is typed beside a video changes each
# tile two or three times. A single cell may be noise.
_LEAST_CELLS = 2
_STARTS_MASK, _STARTS_LOOKS = 0b11111, 4
_STARTS_SLOWLY_LOOKS = 6
_JOINS_LOOKS = 5
# A region that did not change in the last three looks has come to rest.
_RESTS_MASK = 0b111
# A region is the box around its tiles if they fill this much of it, and its tiles alone otherwise.
_BOX_SHARE = 0.4
_BRIDGE_TILES = 1
_MOST_TILES_JOINED = 400


class MotionMonitor:
    """Remembers in which of the last 16 looks each tile of one grid changed; for one thread at a time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        rows, columns = shape
        self._cells = shape
        self._shape = -(-rows // TILE_CELLS), -(-columns // TILE_CELLS)
        self._history = np.zeros(self._shape, np.uint16)
        self._moving = np.zeros(self._shape, np.bool_)
        self.regions: tuple[Region, ...] = ()
        """The moving regions, in tiles."""
        self.still: Mask | None = None
        """The cells outside the moving regions; None while nothing moves."""

    def observe(self, changed: Indexes, explained: Sequence[Region]) -> bool:
        """Store a look in which the cells `changed` differ from the look before; return whether other cells move now.

        Cells in the regions `explained`, where a pointer or a caret stands, are no motion.
        """
        if not changed.size and not self.regions:
            self._history <<= 1
            return False
        rows, columns = np.divmod(changed, self._cells[1])
        tile_of = rows // TILE_CELLS * self._shape[1] + columns // TILE_CELLS
        cells = np.bincount(tile_of, minlength=self._history.size).reshape(self._shape)
        tiles = cells >= _LEAST_CELLS
        for region in explained:
            tiles[_tiles_of(region)] = False
        self._history <<= 1
        self._history |= tiles
        looks = np.bitwise_count(self._history)
        starting = (np.bitwise_count(self._history & _STARTS_MASK) >= _STARTS_LOOKS) | (looks >= _STARTS_SLOWLY_LOOKS)
        if not self.regions and not starting.any():
            return False
        before = self._moving
        self._update(starting)
        return not np.array_equal(before, self._moving)

    def _update(self, starting: Mask) -> None:
        """Find the moving regions anew: those that start, and those of before that have not come to rest."""
        joining = starting | (np.bitwise_count(self._history) >= _JOINS_LOOKS)
        joining |= self._moving & (self._history > 0)
        resting = (self._history & _RESTS_MASK) == 0
        moving = np.zeros(self._shape, np.bool_)
        regions = []
        for region in self._joined(joining):
            tiles = np.zeros(self._shape, np.bool_)
            tiles.ravel()[region.indexes] = True
            if (resting | ~tiles).all():
                # What moved here before counts no more: the region rests, and is compared like any other.
                self._history[tiles] = 0
                continue
            if not ((starting | self._moving) & tiles).any():
                continue
            if region.cells >= _BOX_SHARE * region.width * region.height:
                tiles[region.top : region.bottom, region.left : region.right] = True
            moving |= tiles
            regions.append(region)
        self._moving, self.regions = moving, tuple(regions)
        self.still = self._still_cells() if regions else None

    def _joined(self, joining: Mask) -> list[Region]:
        indexes = np.flatnonzero(joining)
        if indexes.size > _MOST_TILES_JOINED:
            rows, columns = np.nonzero(joining)
            box = slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
            whole = np.zeros(self._shape, np.bool_)
            whole[box] = True
            # So many tiles are one video: their neighbours need not be searched.
            return [
                Region(
                    top=box[0].start,
                    bottom=box[0].stop,
                    left=box[1].start,
                    right=box[1].stop,
                    cells=int(whole.sum()),
                    weight_luma=0,
                    indexes=np.flatnonzero(whole),
                )
            ]
        return find_regions(indexes, np.ones(indexes.size, np.uint8), self._shape[1], bridge=_BRIDGE_TILES)

    def _still_cells(self) -> Mask:
        moving = self._moving.repeat(TILE_CELLS, axis=0).repeat(TILE_CELLS, axis=1)
        still: Mask = ~moving[: self._cells[0], : self._cells[1]]
        return still

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Return left, top, right and bottom of the moving regions as shares of the picture, the largest first."""
        rows, columns = self._cells
        found = sorted(self.regions, key=lambda region: region.width * region.height, reverse=True)
        return [
            (
                region.left * TILE_CELLS / columns,
                region.top * TILE_CELLS / rows,
                min(region.right * TILE_CELLS / columns, 1.0),
                min(region.bottom * TILE_CELLS / rows, 1.0),
            )
            for region in found
        ]


def _tiles_of(region: Region) -> tuple[slice, slice]:
    """Return the tiles that a region of cells touches."""
    return (
        slice(region.top // TILE_CELLS, -(-region.bottom // TILE_CELLS)),
        slice(region.left // TILE_CELLS, -(-region.right // TILE_CELLS)),
    )
