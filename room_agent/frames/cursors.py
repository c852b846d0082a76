"""Explains one or two small changed spots by their pixels: a caret, a pointer that moved. Knows no grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Pixels = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.intp]

MARGIN_PX = 20
"""How far around a spot its crops reach; a pointer may stand this far from where its visible part suggests."""

# Luma levels: blank paper varies by less after a codec, and pixels of one pointer in two frames differ by less.
_FLAT_LUMA = 12
_ALIKE_LUMA = 24
# Carets fill 0.95 of their box after a codec, letters but for I and i at most 0.72.
_CARET_FILL = 0.85
_CARET_HEIGHT_PX = 8
# Of a moved pointer's pixels; the rest is lost where its edge meets another background.
_MOVED_SHARE = 0.85
_SHIFTED_SHARE = 0.95
_LEAST_SHARE = 0.35
# So many pixels tell a pointer from text; more only take time.
_COMPARED_PX = 64
_SLACK_PX = 4
_NOWHERE = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionPixels:
    """The luma around one blob in both pictures, and which of the blob's pixels changed clearly."""

    before: Pixels
    after: Pixels
    changed: Mask

    @classmethod
    def of(cls, before: Pixels, after: Pixels, core: tuple[slice, slice]) -> RegionPixels:
        """Return the spot of two crops of one place whose blob fills `core`."""
        moved = np.abs(after[core] - before[core])
        changed = np.zeros(before.shape, np.bool_)
        # Less than 0.4 of the most is the blur a codec leaves around a stroke.
        changed[core] = moved >= 0.4 * int(moved.max())
        return cls(before=before, after=after, changed=changed)


def is_caret(spot: RegionPixels) -> bool:
    """Return whether a solid upright bar or block came or went: letters and digits leave holes."""
    rows, columns = _extent(spot.changed)
    height_px, width_px = rows.stop - rows.start, columns.stop - columns.start
    filled = int(spot.changed.sum()) / (height_px * width_px)
    return bool(height_px >= max(1.5 * width_px, _CARET_HEIGHT_PX) and filled >= _CARET_FILL)


def is_flat(spot: RegionPixels) -> bool:
    """Return whether one of the two pictures shows nothing at all there."""
    return any(float(np.ptp(np.percentile(side, (3, 97)))) <= _FLAT_LUMA for side in (spot.before, spot.after))


def has_shifted(spot: RegionPixels) -> bool:
    """Return whether the same thing stands in both pictures a few pixels apart, whatever lies behind it.

    At the right shift each changed pixel is where it was (and is found further on) or where it is (and is found
    back there). What only appeared or only vanished is found one way alone.
    """
    box = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in _extent(spot.changed))
    before, after = spot.before[box], spot.after[box]
    ys, xs = _points(spot.changed[box])
    # Outside the box nothing moved, so nothing there may match.
    padded = np.pad(np.stack((before, after)), ((0, 0), *((MARGIN_PX,) * 2,) * 2), constant_values=_NOWHERE)
    around = sliding_window_view(padded, (2 * MARGIN_PX + 1,) * 2, axis=(1, 2))[:, ys, xs]
    went = np.abs(around[1] - before[ys, xs, None, None]) < _ALIKE_LUMA
    came = np.abs(around[0, :, ::-1, ::-1] - after[ys, xs, None, None]) < _ALIKE_LUMA
    both_ways = np.minimum(went.mean(axis=0), came.mean(axis=0)) >= _LEAST_SHARE
    return bool(((went | came).mean(axis=0)[both_ways] >= _SHIFTED_SHARE).any())


def has_moved(origin: RegionPixels, goal: RegionPixels) -> bool:
    """Return whether what stood at `origin` stands, pixel for pixel, at `goal`."""
    there = _found(origin.before, origin.changed, goal.after, goal.changed)
    # Asked the other way round too, because blank paper is found wherever something new appears on it.
    return there and _found(goal.after, goal.changed, origin.before, origin.changed)


def _found(source: Pixels, mask: Mask, picture: Pixels, changed: Mask) -> bool:
    """Return whether the source's masked pixels lie, all shifted alike, where the picture changed."""
    rows, columns = _extent(mask)
    source, mask = source[rows, columns], mask[rows, columns]
    around = tuple(_grown(side, length) for side, length in zip(_extent(changed), mask.shape, strict=True))
    picture = picture[around]
    if picture.shape[0] < mask.shape[0] or picture.shape[1] < mask.shape[1]:
        return False
    ys, xs = _points(mask)
    windows = sliding_window_view(picture, mask.shape)[:, :, ys, xs]
    alike = np.abs(windows - source[ys, xs]) < _ALIKE_LUMA
    return bool(alike.mean(axis=2).max() >= _MOVED_SHARE)


def _grown(side: slice, length: int) -> slice:
    """Return the side grown for `length` pixels to move in: part of a pointer may look like its background."""
    slack = max(length - (side.stop - side.start), 0) + _SLACK_PX
    return slice(max(side.start - slack, 0), side.stop + slack)


def _points(mask: Mask) -> tuple[Indexes, Indexes]:
    """Return rows and columns of the mask's pixels, of a few evenly spread ones where there are many."""
    ys, xs = np.nonzero(mask)
    step = -(-ys.size // _COMPARED_PX)
    return ys[::step], xs[::step]


def _extent(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
