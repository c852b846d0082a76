"""Recognizes the outline of the usual cursors: the arrow, the hand and the I-beam."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from room_agent.frames.cursors import Mask

# The outlines of Windows, macOS and GNOME differ by a pixel or two.
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
# Where the edge has the colour of the page, only the fill is seen.
_ARROW_FILL = """
#........
##.......
###......
####.....
#####....
######...
#######..
########.
#########
#####....
###.#....
##...#...
#....#...
......#..
......#..
"""
_HAND_FILL = """
....##.......
....##.......
....##.......
....##.......
....##.......
....##.......
....#####....
....########.
....#########
....#########
....#########
###.#########
#############
#############
.############
..###########
...#########.
....########.
....#######..
"""
CERTAIN = 0.83
"""No letter, digit or arrow sign of the usual fonts is so like a cursor."""
LIKELY = 0.70
"""Cursors over text or before a dark page are at least so like one; one letter in fifty is too."""

# The least height in pixels, and the ratio of width to height between two limits.
_LEAST_HEIGHT_PX = 11
_RATIOS = (0.45, 0.95)
# A dot, a pawn or a radio button is its own mirror image, and so is an I-beam.
_MIRRORED_OVERLAP = 0.88
_BEAM_HEIGHT_PX = 14
_BEAM_RATIOS = (0.25, 0.65)
_BEAM_STEM = 0.45
_BEAM_SERIF = 0.75
# An I with serifs is an I-beam too.
_BEAM_LIKENESS = 0.75


def cursor_likeness(mask: Mask) -> float:
    """Return in 0..1 how like a cursor the outline of a shape is. The mask has no blank rows or columns."""
    height_px, width_px = mask.shape
    if height_px < _LEAST_HEIGHT_PX:
        return 0.0
    filled = _filled(mask)
    if _overlap(filled, filled[:, ::-1]) > _MIRRORED_OVERLAP:
        return _BEAM_LIKENESS if _is_beam(mask) else 0.0
    if not _RATIOS[0] <= width_px / height_px <= _RATIOS[1]:
        return 0.0
    return max(_overlap(filled, outline) for outline in _scaled_outlines(height_px, width_px))


def _is_beam(mask: Mask) -> bool:
    """Return whether the shape is a thin upright stem with a serif at both ends."""
    height_px, width_px = mask.shape
    if height_px < _BEAM_HEIGHT_PX or not _BEAM_RATIOS[0] <= width_px / height_px <= _BEAM_RATIOS[1]:
        return False
    widths = _filled_rows(mask).sum(axis=1) / width_px
    end = max(height_px // 6, 1)
    stem = widths[end + 1 : -end - 1]
    serifs = min(widths[:end].max(), widths[-end:].max())
    return bool(serifs >= _BEAM_SERIF and np.median(stem) <= _BEAM_STEM and stem.max() < _BEAM_SERIF)


def _filled(mask: Mask) -> Mask:
    """Return the mask with each row and column filled between its first and its last pixel.

    A white arrow on paper is hollow, and an arrow over text has gaps where both are of one colour.
    """
    filled: Mask = _filled_rows(mask) | _filled_rows(mask.T).T
    return filled


def _filled_rows(mask: Mask) -> Mask:
    from_left = np.logical_or.accumulate(mask, axis=1)
    from_right = np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    filled: Mask = from_left & from_right
    return filled


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


@lru_cache(maxsize=256)
def _scaled_outlines(height_px: int, width_px: int) -> tuple[Mask, ...]:
    """Return each outline with its pixels repeated or left out, so that it has the given size."""
    return tuple(
        outline[
            np.ix_(
                ((np.arange(height_px) + 0.5) * outline.shape[0] / height_px).astype(np.intp),
                ((np.arange(width_px) + 0.5) * outline.shape[1] / width_px).astype(np.intp),
            )
        ]
        for outline in _OUTLINES
    )


def _outline(drawing: str) -> npt.NDArray[np.bool_]:
    return _filled(np.array([[pixel == "#" for pixel in row] for row in drawing.split()]))


_OUTLINES = tuple(_outline(drawing) for drawing in (_ARROW, _ARROW_FILL, _HAND, _HAND_FILL))
