"""Tells a repeated frame from a new one by its luma. Knows no network and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from room_agent.frames.classifier import ExplainSettings, Explanation, changed, explain
from room_agent.frames.cursors import MARGIN_PX, Pixels, RegionPixels
from room_agent.frames.grid import BlockMeans
from room_agent.frames.i420 import Plane, Planes
from room_agent.frames.noise import HotCells, NoiseGate, NoiseSettings
from room_agent.frames.phash import phash
from room_agent.frames.regions import Region, find_blobs
from room_agent.frames.verdict import Box, Judgement, Verdict

BLACK_LUMA = 20
"""Limited-range black is 16, and a codec adds a little: what WebRTC shows of a source that has nothing to show."""

__all__ = ["ChangeDetector", "ChangeSettings", "Judgement", "Verdict", "phash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSettings:
    """How much must differ, and what may change unseen."""

    noise: NoiseSettings = field(default_factory=NoiseSettings)
    explain: ExplainSettings = field(default_factory=ExplainSettings)


class ChangeDetector:
    """Judges frames against the last kept one; for one thread at a time.

    A picture of another size has changed, but for one: the smaller simulcast layer of the kept picture shows
    nothing that was not seen sharper, so it is compared like any other.
    """

    def __init__(self, settings: ChangeSettings | None = None) -> None:
        self.settings = settings or ChangeSettings()
        self._kept: _Kept | None = None
        self._means: BlockMeans | None = None
        self._judged: tuple[Plane, Plane] | None = None

    def judge(self, planes: Planes) -> Judgement:
        """Return what `planes` is to the last kept frame; changes nothing."""
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
        hot = kept.gate.hot(grid, kept.grid)
        if hot.count == 0:
            return Judgement(verdict=Verdict.SAME, why="nothing changed")
        if hot.count > self.settings.noise.many_cells:
            return _judgement(changed([_around(hot, means)]), means, planes)
        blobs = find_blobs(hot.indexes, hot.moved_luma, means.shape[1])
        settings = self.settings.explain
        found = explain(blobs, lambda blob: kept.spot(blob, planes.y, zoom), means.shape, settings)
        return _judgement(found, means, planes)

    def keep(self, planes: Planes) -> None:
        """Make `planes` the frame that the next ones are judged against; its luma is copied."""
        means = self._means_for(planes)
        if self._kept is None or self._kept.luma.shape != planes.y.shape:
            self._kept = _Kept(means, self.settings.noise)
        # Whoever keeps a frame has just had it judged.
        judged, self._judged = self._judged, None
        self._kept.grid = judged[1] if judged and judged[0] is planes.y else means(planes.y)
        np.copyto(self._kept.luma, planes.y)

    def _means_for(self, planes: Planes) -> BlockMeans:
        if self._means is None or self._means.luma_shape != planes.y.shape:
            self._means = BlockMeans(planes.width_px, planes.height_px)
        return self._means


class _Kept:
    """The last kept frame: its luma, its grid, and the gate for grids of its shape."""

    def __init__(self, means: BlockMeans, noise: NoiseSettings) -> None:
        self.luma: Plane = np.empty(means.luma_shape, np.uint8)
        self.grid: Plane = np.empty(means.shape, np.uint8)
        self.gate = NoiseGate(means.shape, noise)
        self._cell_px = means.cell_px

    def zoom(self, planes: Planes, means: BlockMeans) -> int | None:
        """Return how many times larger the kept frame is, if both share one grid and the kept one is no smaller."""
        zoom = self.luma.shape[1] // planes.width_px
        same_picture = self.luma.shape == (planes.height_px * zoom, planes.width_px * zoom)
        return zoom if same_picture and self.grid.shape == means.shape else None

    def spot(self, blob: Region, luma: Plane, zoom: int) -> RegionPixels:
        """Return the pixels around a blob in the kept frame and in `luma`, both at the kept frame's size."""
        top, left = (max(edge * self._cell_px - MARGIN_PX, 0) for edge in (blob.top, blob.left))
        bottom, right = (edge * self._cell_px + MARGIN_PX for edge in (blob.bottom, blob.right))
        before: Pixels = self.luma[top:bottom, left:right].astype(np.int16)
        small = luma[top // zoom : bottom // zoom, left // zoom : right // zoom].astype(np.int16)
        after: Pixels = small.repeat(zoom, axis=0).repeat(zoom, axis=1)
        core = (
            slice(blob.top * self._cell_px - top, blob.bottom * self._cell_px - top),
            slice(blob.left * self._cell_px - left, blob.right * self._cell_px - left),
        )
        return RegionPixels.of(before, after, core)


def _whole(planes: Planes, means: BlockMeans, verdict: Verdict, why: str) -> Judgement:
    box = (0, 0, planes.width_px, planes.height_px)
    return Judgement(verdict=verdict, why=why, changed_share=1.0, cells=means.cells, box_px=box)


def _around(hot: HotCells, means: BlockMeans) -> Region:
    """Return one blob around all hot cells."""
    rows, columns = np.divmod(hot.indexes, means.shape[1])
    return Region(
        top=int(rows.min()),
        bottom=int(rows.max()) + 1,
        left=int(columns.min()),
        right=int(columns.max()) + 1,
        cells=hot.count,
        weight_luma=int(hot.moved_luma.sum()),
    )


def _judgement(found: Explanation, means: BlockMeans, planes: Planes) -> Judgement:
    cells = sum(blob.cells for blob in found.blobs)
    return Judgement(
        verdict=found.verdict,
        why=found.why,
        changed_share=cells / means.cells,
        cells=cells,
        box_px=_box_px(found.blobs, means.cell_px, planes) if found.blobs else None,
    )


def _box_px(blobs: Sequence[Region], cell_px: int, planes: Planes) -> Box:
    return (
        min(blob.left for blob in blobs) * cell_px,
        min(blob.top for blob in blobs) * cell_px,
        min(max(blob.right for blob in blobs) * cell_px, planes.width_px),
        min(max(blob.bottom for blob in blobs) * cell_px, planes.height_px),
    )
