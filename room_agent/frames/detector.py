"""Compares a frame's luma with the last kept frame and decides whether it shows anything new."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from room_agent.frames.classifier import Explanation, changed, explain
from room_agent.frames.cursors import MARGIN_PX, Pixels, RegionPixels
from room_agent.frames.grid import BlockMeans
from room_agent.frames.i420 import Plane, Planes
from room_agent.frames.noise import MANY_CELLS, ChangedCells, NoiseGate
from room_agent.frames.regions import Region, find_regions
from room_agent.frames.verdict import Box, Judgement, Verdict

BLACK_LUMA = 20
"""A frame no brighter than this is black: limited-range black is 16, and a codec adds a little.

WebRTC sends black where the source has nothing to show.
"""


class ChangeDetector:
    """Judges frames against the last kept one; for one thread at a time.

    A picture of another size counts as changed, with one exception. The smaller simulcast layer of the kept picture
    shows nothing that the kept one does not show sharper, so it is compared like any other.
    """

    def __init__(self) -> None:
        self._kept: _KeptLuma | None = None
        self._means: BlockMeans | None = None
        self._judged: tuple[Plane, Plane] | None = None

    def judge(self, planes: Planes) -> Judgement:
        """Return how `planes` differs from the last kept frame. The reference stays as it is."""
        means, kept = self._means_for(planes), self._kept
        grid = means(planes.y)
        if int(grid.max()) <= BLACK_LUMA:
            return Judgement(verdict=Verdict.SAME, why="black")
        self._judged = (planes.y, grid)
        if kept is None:
            return _whole(planes, means, Verdict.NEW, "first frame")
        zoom = kept.zoom(planes, means)
        if zoom is None:
            return _whole(planes, means, Verdict.CHANGED, "size changed")
        cells = kept.gate.changed_cells(grid, kept.grid)
        if cells.count == 0:
            return Judgement(verdict=Verdict.SAME, why="nothing changed")
        # With this many cells no pointer, caret or clock explains the change, and finding regions would be slow.
        if cells.count > MANY_CELLS:
            return _judgement(changed([_around(cells, means)]), means, planes)
        regions = find_regions(cells.indexes, cells.moved_luma, means.shape[1])
        explanation = explain(regions, lambda region: kept.pixels(region, planes.y, zoom), means.shape)
        return _judgement(explanation, means, planes)

    def keep(self, planes: Planes) -> None:
        """Make `planes` the reference for the next frames; its luma is copied."""
        means = self._means_for(planes)
        if self._kept is None or self._kept.luma.shape != planes.y.shape:
            self._kept = _KeptLuma(means)
        # A frame is usually judged just before it is kept: its grid need not be computed again.
        judged, self._judged = self._judged, None
        self._kept.grid = judged[1] if judged and judged[0] is planes.y else means(planes.y)
        np.copyto(self._kept.luma, planes.y)

    def _means_for(self, planes: Planes) -> BlockMeans:
        if self._means is None or self._means.luma_shape != planes.y.shape:
            self._means = BlockMeans(planes.width_px, planes.height_px)
        return self._means


class _KeptLuma:
    """The last kept frame: its luma, its grid, and the noise gate for grids of its shape."""

    def __init__(self, means: BlockMeans) -> None:
        self.luma: Plane = np.empty(means.luma_shape, np.uint8)
        self.grid: Plane = np.empty(means.shape, np.uint8)
        self.gate = NoiseGate(means.shape)
        self._cell_px = means.cell_px

    def zoom(self, planes: Planes, means: BlockMeans) -> int | None:
        """Return how many times larger the kept frame is, or None where the two cannot be compared.

        They can where both share one grid and the kept frame is no smaller.
        """
        zoom = self.luma.shape[1] // planes.width_px
        same_picture = self.luma.shape == (planes.height_px * zoom, planes.width_px * zoom)
        return zoom if same_picture and self.grid.shape == means.shape else None

    def pixels(self, region: Region, luma: Plane, zoom: int) -> RegionPixels:
        """Return the pixels around a region in the kept frame and in `luma`, both at the kept frame's size."""
        top, left = (max(edge * self._cell_px - MARGIN_PX, 0) for edge in (region.top, region.left))
        bottom, right = (edge * self._cell_px + MARGIN_PX for edge in (region.bottom, region.right))
        before: Pixels = self.luma[top:bottom, left:right].astype(np.int16)
        cropped = luma[top // zoom : bottom // zoom, left // zoom : right // zoom].astype(np.int16)
        after: Pixels = cropped.repeat(zoom, axis=0).repeat(zoom, axis=1)
        core = (
            slice(region.top * self._cell_px - top, region.bottom * self._cell_px - top),
            slice(region.left * self._cell_px - left, region.right * self._cell_px - left),
        )
        return RegionPixels.of(before, after, core)


def _whole(planes: Planes, means: BlockMeans, verdict: Verdict, why: str) -> Judgement:
    box = (0, 0, planes.width_px, planes.height_px)
    return Judgement(verdict=verdict, why=why, changed_share=1.0, cells=means.cells, box_px=box)


def _around(cells: ChangedCells, means: BlockMeans) -> Region:
    """Return one region around all changed cells."""
    rows, columns = np.divmod(cells.indexes, means.shape[1])
    return Region(
        top=int(rows.min()),
        bottom=int(rows.max()) + 1,
        left=int(columns.min()),
        right=int(columns.max()) + 1,
        cells=cells.count,
        weight_luma=int(cells.moved_luma.sum()),
    )


def _judgement(explanation: Explanation, means: BlockMeans, planes: Planes) -> Judgement:
    cells = sum(region.cells for region in explanation.regions)
    return Judgement(
        verdict=explanation.verdict,
        why=explanation.why,
        changed_share=cells / means.cells,
        cells=cells,
        box_px=_box_px(explanation.regions, means.cell_px, planes) if explanation.regions else None,
    )


def _box_px(regions: Sequence[Region], cell_px: int, planes: Planes) -> Box:
    return (
        min(region.left for region in regions) * cell_px,
        min(region.top for region in regions) * cell_px,
        min(max(region.right for region in regions) * cell_px, planes.width_px),
        min(max(region.bottom for region in regions) * cell_px, planes.height_px),
    )
