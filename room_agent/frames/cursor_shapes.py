"""Recognizes the outline of the usual cursors: the arrow, the hand and the I-beam."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from room_agent.frames.cursors import Mask

# The outlines of Windows, macOS and GNOME differ by a pixel or two. Each row is filled from its first to its last pixel.
_ARROW = """
#...........
##..........
###.........
####........
#####.......
######......
#######.....
########....
#########...
##########..
###########.
############
########....
########....
########....
########....
##.#####....
#...####....
.....###....
"""
_HAND = """
.....##........
....####.......
....####.......
....####.......
....####.......
....####.......
....#######....
....#########..
....###########
.##.###########
###############
###############
.##############
..#############
...############
...############
....##########.
....##########.
.....########..
.....########..
.....########..
"""
# The least height in pixels, and the ratio of width to height between two limits.
_LEAST_HEIGHT_PX = 11
_RATIOS = (0.45, 0.95)
_ARROW_OVERLAP = 0.75
_HAND_OVERLAP = 0.80
# A dot, a pawn or a radio button is its own mirror image.
_MIRRORED_OVERLAP = 0.88
_BEAM_HEIGHT_PX = 14
_BEAM_RATIOS = (0.25, 0.65)
_BEAM_STEM = 0.45
_BEAM_SERIF = 0.75


def is_cursor(mask: Mask) -> bool:
    """Return whether the pixels of a small shape have a cursor's outline. The mask has no blank rows or columns."""
    return _is_beam(mask) or _is_arrow_or_hand(mask)


def _is_arrow_or_hand(mask: Mask) -> bool:
    height_px, width_px = mask.shape
    if height_px < _LEAST_HEIGHT_PX or not _RATIOS[0] <= width_px / height_px <= _RATIOS[1]:
        return False
    filled = _filled(mask)
    if _overlap(filled, filled[:, ::-1]) > _MIRRORED_OVERLAP:
        return False
    arrow, hand = (_overlap(filled, _scaled(outline, mask.shape)) for outline in (_OUTLINES[0], _OUTLINES[1]))
    return arrow >= _ARROW_OVERLAP or hand >= _HAND_OVERLAP


def _is_beam(mask: Mask) -> bool:
    """Return whether the shape is a thin upright stem with a serif at both ends."""
    height_px, width_px = mask.shape
    if height_px < _BEAM_HEIGHT_PX or not _BEAM_RATIOS[0] <= width_px / height_px <= _BEAM_RATIOS[1]:
        return False
    widths = _filled(mask).sum(axis=1) / width_px
    end = max(height_px // 6, 1)
    stem = widths[end + 1 : -end - 1]
    serifs = min(widths[:end].max(), widths[-end:].max())
    return bool(serifs >= _BEAM_SERIF and np.median(stem) <= _BEAM_STEM and stem.max() < _BEAM_SERIF)


def _filled(mask: Mask) -> Mask:
    """Return the mask with each row filled between its first and its last pixel: a white arrow on paper is hollow."""
    from_left = np.logical_or.accumulate(mask, axis=1)
    from_right = np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    filled: Mask = from_left & from_right
    return filled


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def _scaled(outline: Mask, shape: tuple[int, ...]) -> Mask:
    rows = ((np.arange(shape[0]) + 0.5) * outline.shape[0] / shape[0]).astype(np.intp)
    columns = ((np.arange(shape[1]) + 0.5) * outline.shape[1] / shape[1]).astype(np.intp)
    scaled: Mask = outline[np.ix_(rows, columns)]
    return scaled


def _outline(drawing: str) -> npt.NDArray[np.bool_]:
    return _filled(np.array([[pixel == "#" for pixel in row] for row in drawing.split()]))


_OUTLINES = (_outline(_ARROW), _outline(_HAND))
