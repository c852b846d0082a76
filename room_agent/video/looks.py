"""Remembers the looks at one track: what changed from look to look, since when, and whether it has come to rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from room_agent.frames.cell_times import CellTimes
from room_agent.frames.motion import TILE_CELLS, MotionMonitor
from room_agent.frames.noise import ChangedCells, NoiseGate
from room_agent.frames.picture import Picture
from room_agent.frames.regions import Region
from room_agent.frames.verdict import LARGE_CELLS, Judgement

REST_S = 1.9
"""An edit is sent once it has rested for this long: at one sample a second, in the second sample after its last change.

That halves the cost of typing and loses nothing, because the reference stays the last kept frame.
"""
SCENE_REST_S = 0.9
"""A new scene is sent once most of it has rested for this long: it is then sharper than at its first sample."""
MAX_WAIT_S = 8.0
"""An edit that never comes to rest is sent after this time."""
SCENE_MAX_WAIT_S = 4.0
MOTION_EVERY_S = 30.0
"""Regions that change in every sample are sent once in this time, and with every frame that is sent for a reason."""
RESTLESS_S = 60.0
"""For this time after a region was sent without having come to rest, it waits as long as a moving one."""
_MOST_RESTLESS = 16
_NEAR_CELLS = 16
_FIGURE_CELLS = 12
"""A figure is no wider. A line that was sent while it was typed is, and a caret may go on blinking in it."""
_BUSY_S = 6.0
"""A scene that follows another within this time must rest as long as an edit."""


class TrackLooks:
    """The looks at one track since its size last changed: what changed from look to look, and since when."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.times = CellTimes(shape[0] * shape[1])
        self.motion = MotionMonitor(shape)
        self.judgement: Judgement | None = None
        """The judgement of the last picture that differed from the one before; None where it must be made anew."""
        self.looked_s, self.gap_s = -np.inf, np.inf
        self.is_unchanged = False
        """Whether the last look found the picture of the look before."""
        self.explained: list[Region] = []
        self._restless: list[tuple[float, Region]] = []
        self._scene_s = -np.inf
        self._gate = NoiseGate(shape)
        self._last: Picture | None = None

    def step(self, picture: Picture) -> ChangedCells:
        """Return the cells that changed since the last look that changed anything."""
        last = self._last if self._last is not None else picture
        cells = self._gate.changed_cells(picture.grid, last.grid)
        self.is_unchanged = self._last is not None and cells.nothing
        if not self.is_unchanged:
            self._last = Picture(luma=np.empty(0, np.uint8), grid=picture.grid, cell_px=picture.cell_px)
        return cells

    def changed_in(self, region: Region, now_s: float) -> bool:
        return self.times.resting_s(region, now_s) <= 0.0

    def is_settled(self, region: Region, content: Sequence[Region], now_s: float) -> bool:
        """Return whether a region has come to rest with all content near it, or has waited long enough.

        The line above the one that is being typed waits for it.
        """
        large = region.cells >= LARGE_CELLS
        if not large and self._trails_motion(region):
            return self.times.waiting_s(region, now_s) >= MOTION_EVERY_S
        if large and self.gap_s >= SCENE_MAX_WAIT_S:
            # At so low a rate the next look comes too late.
            return True
        near = [one for one in content if one.overlaps(region, _NEAR_CELLS)]
        # Of a figure that counts, one digit may rest while the next one moves on.
        near += [one for one in self._restless_near(region, 1, now_s) if one.width <= _FIGURE_CELLS]
        rests = all(self._rests(one, now_s) for one in near)
        return rests or self.times.waiting_s(region, now_s) >= self._longest_wait_s(region, large, now_s)

    def sent(self, content: Sequence[Region], now_s: float) -> None:
        """Note that the regions of content were sent, and which of them had not come to rest."""
        if any(region.cells >= LARGE_CELLS for region in content):
            self._scene_s = now_s
        restless = [(now_s, region) for region in content if not self._rests(region, now_s)]
        self._restless = [*self._restless, *restless][-_MOST_RESTLESS:]

    def _rests(self, region: Region, now_s: float) -> bool:
        calm = now_s - self._scene_s >= _BUSY_S
        rest_s = SCENE_REST_S if region.cells >= LARGE_CELLS and calm else REST_S
        return self.times.resting_s(region, now_s) >= rest_s

    def _longest_wait_s(self, region: Region, large: bool, now_s: float) -> float:
        if self._restless_near(region, _NEAR_CELLS, now_s):
            return MOTION_EVERY_S
        return SCENE_MAX_WAIT_S if large else MAX_WAIT_S

    def _restless_near(self, region: Region, margin: int, now_s: float) -> list[Region]:
        """Return the regions near one that were lately sent without having come to rest."""
        return [one for at_s, one in self._restless if now_s - at_s <= RESTLESS_S and one.overlaps(region, margin)]

    def kept(self) -> None:
        """Note that the picture became the reference: nothing differs any more."""
        self.judgement = None
        self.times.differ((), 0.0)

    def _trails_motion(self, region: Region) -> bool:
        """Return whether a region touches a moving one, as what a progress bar leaves behind does."""
        return any(region.overlaps(in_cells(moving), 1) for moving in self.motion.regions)


def in_cells(tiles: Region) -> Region:
    """Return a region of tiles as one of cells."""
    return replace(
        tiles,
        top=tiles.top * TILE_CELLS,
        bottom=tiles.bottom * TILE_CELLS,
        left=tiles.left * TILE_CELLS,
        right=tiles.right * TILE_CELLS,
    )
