"""Estimates from the luma how hard a frame is to read. Cheap and approximate."""

from __future__ import annotations

import numpy as np

from room_agent.frames.i420 import Planes
from room_agent.frames.verdict import Box, Judgement
from routing.models import FrameFeatures

# One row in eight is read: letters are taller than that, and the other rows would only cost time.
_ROW_STEP = 8
_TILE_PX = 64
_TILE_ROWS = 4
_STRONG_LUMA = 32
# Letters turn every few pixels: a line of text fills a tenth or more of its tile with strong edges, a photograph or
# the frame of a window a fiftieth.
_TEXT_SHARE = 1 / 16
_FULL_ENERGY_LUMA = 32.0


def features(planes: Planes, judgement: Judgement) -> FrameFeatures:
    """Return the features of a frame, each in 0..1.

    `text_density` is the share of 64x32 pixel tiles that hold text. `edge_energy` is the mean step between
    neighbouring pixels (32 levels or more are 1). `changed_share` is the judgement's. `novelty` is the share of the
    picture inside the box of changes.
    """
    rows = planes.y[_ROW_STEP // 2 :: _ROW_STEP] if planes.height_px >= _ROW_STEP else planes.y
    left, right = rows[:, :-1], rows[:, 1:]
    steps = np.maximum(left, right) - np.minimum(left, right)
    if not steps.size:
        return FrameFeatures(changed_share=judgement.changed_share, novelty=_area(judgement.box_px, planes))
    return FrameFeatures(
        text_density=_text_density(steps > _STRONG_LUMA),
        edge_energy=min(float(steps.mean()) / _FULL_ENERGY_LUMA, 1.0),
        changed_share=judgement.changed_share,
        novelty=_area(judgement.box_px, planes),
    )


def _text_density(strong: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> float:
    """Return the share of tiles with many strong edges; tiles at the far edges may be cut."""
    tops, lefts = np.arange(0, strong.shape[0], _TILE_ROWS), np.arange(0, strong.shape[1], _TILE_PX)
    counts = np.add.reduceat(np.add.reduceat(strong, lefts, axis=1, dtype=np.uint16), tops, axis=0)
    heights, widths = np.diff(tops, append=strong.shape[0]), np.diff(lefts, append=strong.shape[1])
    return float((counts >= _TEXT_SHARE * np.outer(heights, widths)).mean())


def _area(box_px: Box | None, planes: Planes) -> float:
    if box_px is None:
        return 0.0
    left, top, right, bottom = box_px
    return (right - left) * (bottom - top) / (planes.width_px * planes.height_px)
