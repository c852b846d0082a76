"""Compares a picture with the last kept one and decides whether it shows anything new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from room_agent.frames.classifier import RegionReader, classify
from room_agent.frames.clocks import MARGIN_PX as CLOCK_MARGIN_PX
from room_agent.frames.clocks import reads_as_time
from room_agent.frames.cursors import Mask, Shape
from room_agent.frames.grid import BlockMeans, cell_px_of
from room_agent.frames.i420 import Planes
from room_agent.frames.noise import MANY_CELLS, ChangedCells, NoiseGate
from room_agent.frames.picture import Picture
from room_agent.frames.regions import Region, all_within, around_all, find_regions
from room_agent.frames.verdict import LARGE_CELLS, Finding, Judgement, RegionKind, Verdict, box_px_of

BLACK_LUMA = 20
"""A frame no brighter than this is black: limited-range black is 16, and a codec adds a little.

WebRTC sends black where the source has nothing to show.
"""
# A tint fills this much of the box around it, and is no smaller than a word.
_TINT_CELLS = 24
_TINT_SHARE = 0.5
_TINT_SIDE_CELLS = 3
# Parts of a new scene that lie no farther apart are one.
_SCENE_BRIDGE_CELLS = 16
# What is nearer to a region belongs to it.
_FAR_CELLS = 2
_WHY = {
    RegionKind.POINTER: "pointer moved",
    RegionKind.CARET: "caret blinked",
    RegionKind.CLOCK: "clock ticked",
    RegionKind.NOISE: "codec noise",
}


class ChangeDetector:
    """Judges pictures against the last kept one; for one thread at a time.

    A picture of another size counts as changed, with one exception. The smaller simulcast layer of the kept picture
    shows nothing that the kept one does not show sharper, so it is compared like any other.
    """

    def __init__(self) -> None:
        self._kept: Picture | None = None
        self._means: BlockMeans | None = None
        self._gate: NoiseGate | None = None

    def picture(self, planes: Planes) -> Picture:
        """Return a view of `planes` with its grid of cells."""
        cell_px = None if self._kept is None else self._kept.layer_cell_px(planes.width_px, planes.height_px)
        cell_px = cell_px or cell_px_of(planes.width_px)
        if self._means is None or (self._means.luma_shape, self._means.cell_px) != (planes.y.shape, cell_px):
            self._means = BlockMeans(planes.width_px, planes.height_px, cell_px)
        return Picture.of(planes, self._means)

    def judge(self, planes: Planes) -> Judgement:
        """Return how `planes` differs from the last kept frame. The reference stays as it is."""
        picture = self.picture(planes)
        return Judgement(verdict=Verdict.SAME, why="black") if is_black(picture) else self.judge_picture(picture)

    def judge_picture(
        self, picture: Picture, judged: Mask | None = None, known_shapes: Sequence[Shape] = ()
    ) -> Judgement:
        """Return how a picture differs from the last kept one, within the cells of the mask `judged` if given.

        A black picture is not to be judged: it shows nothing.
        """
        if self._kept is None:
            return _whole(picture, Verdict.NEW, "first frame")
        # A layer of a quarter of the size has fewer pixels than the kept picture has cells.
        kept = self._kept.coarser(picture.grid.shape)
        if kept.zoom(picture) is None:
            return _whole(picture, Verdict.CHANGED, "size changed")
        if self._gate is None or self._gate.shape != picture.grid.shape:
            self._gate = NoiseGate(picture.grid.shape)
        return compare(kept, picture, self._gate, judged, known_shapes)

    def keep(self, planes: Planes) -> None:
        """Make `planes` the reference for the next frames; its luma is copied."""
        self.keep_picture(self.picture(planes))

    def keep_picture(self, picture: Picture) -> Picture:
        """Make a copy of a picture the reference for the next ones, and return the copy."""
        self._kept = picture.copied()
        return self._kept


def is_black(picture: Picture) -> bool:
    """Return whether the picture is black, as WebRTC sends it where the source has nothing to show."""
    # A few cells show it as a rule.
    luma = picture.grid.y
    return int(luma[::8, ::8].max()) <= BLACK_LUMA and int(luma.max()) <= BLACK_LUMA


def compare(
    kept: Picture,
    picture: Picture,
    gate: NoiseGate,
    judged: Mask | None = None,
    known_shapes: Sequence[Shape] = (),
) -> Judgement:
    """Return how `picture` differs from `kept`. Both share one grid, and `kept` is no smaller."""
    cells = gate.changed_cells(picture.grid, kept.grid, judged)
    if cells.nothing:
        return Judgement(verdict=Verdict.SAME, why="nothing changed")
    columns = picture.grid.shape[1]
    # With this many cells no pointer, caret or clock explains the change.
    if cells.count > MANY_CELLS:
        scene = [Finding(kind=RegionKind.CONTENT, region=region) for region in _parts_of_scene(cells, columns)]
        return judgement_of(scene, picture)
    reader = RegionReader(
        pixels=cache(lambda region: kept.pixels(region, picture)),
        reads_as_time=lambda region: reads_as_time(*picture.text_around(region, CLOCK_MARGIN_PX)),
        shape=picture.grid.shape,
        is_sharp=kept.luma.shape == picture.luma.shape,
        known_shapes=known_shapes,
    )
    regions = find_regions(cells.indexes, cells.luma, columns, cells.chroma)
    findings = classify(regions, _faint_regions(cells, gate, regions, columns), reader)
    judgement = judgement_of([*findings, *_tints(cells, gate, regions, columns)], picture)
    return replace(judgement, is_noisy=cells.is_noisy)


def judgement_of(findings: Sequence[Finding], picture: Picture) -> Judgement:
    """Return the verdict on a picture with these findings: content first, then a spot or a detail, then the rest."""
    content = [finding.region for finding in findings if finding.kind is RegionKind.CONTENT]
    doubts = [finding.region for finding in findings if finding.kind in (RegionKind.SPOT, RegionKind.DETAIL)]
    unexplained = content or doubts
    if not unexplained:
        kinds = {finding.kind for finding in findings}
        why = next((text for kind, text in _WHY.items() if kind in kinds), "nothing changed")
        return Judgement(verdict=Verdict.SAME, why=why, findings=tuple(findings))
    cells = sum(region.cells for region in unexplained)
    height_px, width_px = picture.luma.shape
    return Judgement(
        verdict=Verdict.CHANGED if content else Verdict.MAYBE,
        why=("scene changed" if cells >= LARGE_CELLS else "text changed") if content else "small spot changed",
        changed_share=min(cells / picture.grid.y.size, 1.0),
        cells=cells,
        box_px=box_px_of(unexplained, picture.cell_px, width_px, height_px),
        findings=tuple(findings),
    )


def _parts_of_scene(cells: ChangedCells, columns: int) -> list[Region]:
    """Return the regions that lie far apart, such as a line typed below a video, or one around all cells."""
    # Of very many cells there is but a sample.
    exact = cells.indexes.size == cells.count
    parts = find_regions(cells.indexes, cells.luma, columns, cells.chroma, _SCENE_BRIDGE_CELLS) if exact else []
    return parts or [around_all(cells.indexes, cells.luma, cells.chroma, cells.count, columns)]


def _faint_regions(cells: ChangedCells, gate: NoiseGate, regions: Sequence[Region], columns: int) -> list[Region]:
    """Return the regions of cells that moved by little, away from those that moved by much."""
    if all_within(cells.faint, regions, columns, _FAR_CELLS):
        return []
    faint = find_regions(cells.faint, gate.luma_moved(cells.faint), columns)
    return [one for one in faint if not any(one.overlaps(region, _FAR_CELLS) for region in regions)]


def _tints(cells: ChangedCells, gate: NoiseGate, regions: Sequence[Region], columns: int) -> list[Finding]:
    """Return the findings for blank areas that took another shade, away from the regions that moved by much."""
    areas = find_regions(cells.tinted, gate.luma_moved(cells.tinted), columns)
    return [
        Finding(kind=RegionKind.DETAIL, region=area)
        for area in areas
        if area.cells >= max(_TINT_CELLS, _TINT_SHARE * area.width * area.height)
        and min(area.width, area.height) >= _TINT_SIDE_CELLS
        and not any(area.overlaps(region, _FAR_CELLS) for region in regions)
    ]


def _whole(picture: Picture, verdict: Verdict, why: str) -> Judgement:
    rows, columns = picture.grid.shape
    region = Region(
        top=0,
        bottom=rows,
        left=0,
        right=columns,
        cells=rows * columns,
        weight_luma=0,
        indexes=np.empty(0, np.intp),
    )
    height_px, width_px = picture.luma.shape
    return Judgement(
        verdict=verdict,
        why=why,
        changed_share=1.0,
        cells=rows * columns,
        box_px=(0, 0, width_px, height_px),
        findings=(Finding(kind=RegionKind.CONTENT, region=region),),
    )
