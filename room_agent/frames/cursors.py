"""Recognizes a caret or a moved pointer in the pixels of one or two small changed regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Pixels = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.intp]

MARGIN_PX = 20
"""The margin of a crop around its region. A pointer may stand this far from its visible part."""

# Luma levels. After a codec, blank paper varies by less than the first, and the pixels of one pointer in two frames
# differ by less than the second.
_FLAT_LUMA = 12
_SIMILAR_LUMA = 24
# After a codec carets fill 0.95 of their box. Letters fill at most 0.72, except I and i.
_CARET_FILL = 0.85
_CARET_HEIGHT_PX = 8
# Shares of a moved pointer's pixels that must be found again. The rest is lost where its edge meets another background.
_MOVED_SHARE = 0.85
_SHIFTED_SHARE = 0.95
_MIN_SHARE = 0.35
# This many pixels distinguish a pointer from text; more only take time.
_COMPARED_PX = 64
_GROWTH_PX = 4
_NO_MATCH_LUMA = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionPixels:
    """The luma around one region in both pictures, and a mask of the region's clearly changed pixels."""

    before: Pixels
    after: Pixels
    changed: Mask

    @classmethod
    def of(cls, before: Pixels, after: Pixels, core: tuple[slice, slice]) -> RegionPixels:
        """Return the pixels of two crops of one place whose region fills `core`."""
        moved = np.abs(after[core] - before[core])
        changed = np.zeros(before.shape, np.bool_)
        # A change below 0.4 of the largest is the blur that a codec leaves around a stroke.
        changed[core] = moved >= 0.4 * int(moved.max())
        return cls(before=before, after=after, changed=changed)


def is_caret(pixels: RegionPixels) -> bool:
    """Return whether a solid upright bar or block appeared or vanished: letters and digits leave holes."""
    rows, columns = _extent(pixels.changed)
    height_px, width_px = rows.stop - rows.start, columns.stop - columns.start
    filled = int(pixels.changed.sum()) / (height_px * width_px)
    return bool(height_px >= max(1.5 * width_px, _CARET_HEIGHT_PX) and filled >= _CARET_FILL)


def is_flat(pixels: RegionPixels) -> bool:
    """Return whether one of the two pictures is blank there."""
    return any(float(np.ptp(np.percentile(side, (3, 97)))) <= _FLAT_LUMA for side in (pixels.before, pixels.after))


def has_shifted(pixels: RegionPixels) -> bool:
    """Return whether the same shape stands in both pictures a few pixels apart, on any background.

    At the right shift each changed pixel belongs to the old place (and is found ahead in the new picture) or to the new
    place (and is found behind in the old picture). A shape that only appeared or only vanished is found one way alone.
    """
    box = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in _extent(pixels.changed))
    before, after = pixels.before[box], pixels.after[box]
    ys, xs = _points(pixels.changed[box])
    # Outside the box nothing moved, so nothing there may match.
    padded = np.pad(np.stack((before, after)), ((0, 0), *((MARGIN_PX,) * 2,) * 2), constant_values=_NO_MATCH_LUMA)
    around = sliding_window_view(padded, (2 * MARGIN_PX + 1,) * 2, axis=(1, 2))[:, ys, xs]
    found_ahead = np.abs(around[1] - before[ys, xs, None, None]) < _SIMILAR_LUMA
    found_behind = np.abs(around[0, :, ::-1, ::-1] - after[ys, xs, None, None]) < _SIMILAR_LUMA
    found_both_ways = np.minimum(found_ahead.mean(axis=0), found_behind.mean(axis=0)) >= _MIN_SHARE
    return bool(((found_ahead | found_behind).mean(axis=0)[found_both_ways] >= _SHIFTED_SHARE).any())


def has_moved(origin: RegionPixels, target: RegionPixels) -> bool:
    """Return whether the shape that stood at `origin` stands, pixel for pixel, at `goal`."""
    found_at_target = _found(origin.before, origin.changed, target.after, target.changed)
    # Checked the other way round too: blank paper is found wherever something new appears on it.
    return found_at_target and _found(target.after, target.changed, origin.before, origin.changed)


def _found(source: Pixels, mask: Mask, picture: Pixels, changed: Mask) -> bool:
    """Return whether the source's masked pixels are found, at one shift for all, near the picture's changed pixels."""
    rows, columns = _extent(mask)
    source, mask = source[rows, columns], mask[rows, columns]
    around = tuple(_grown(side, length) for side, length in zip(_extent(changed), mask.shape, strict=True))
    picture = picture[around]
    if picture.shape[0] < mask.shape[0] or picture.shape[1] < mask.shape[1]:
        return False
    ys, xs = _points(mask)
    windows = sliding_window_view(picture, mask.shape)[:, :, ys, xs]
    similar = np.abs(windows - source[ys, xs]) < _SIMILAR_LUMA
    return bool(similar.mean(axis=2).max() >= _MOVED_SHARE)


def _grown(side: slice, length: int) -> slice:
    """Return the side grown so that `length` pixels can move in it: part of a pointer may look like its background."""
    margin = max(length - (side.stop - side.start), 0) + _GROWTH_PX
    return slice(max(side.start - margin, 0), side.stop + margin)


def _points(mask: Mask) -> tuple[Indexes, Indexes]:
    """Return rows and columns of the mask's pixels; of many, an evenly spread sample."""
    ys, xs = np.nonzero(mask)
    step = -(-ys.size // _COMPARED_PX)
    return ys[::step], xs[::step]


def _extent(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
