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

# Luma levels. The pixels of one pointer in two frames differ by less than this after a codec.
_SIMILAR_LUMA = 24
# A pointer has a light edge and a dark fill or the reverse, so one of them stands out from any background.
_POINTER_LUMA = 70
# After a codec carets fill 0.95 of their box. Letters fill at most 0.72, except I and i.
_CARET_FILL = 0.85
_CARET_HEIGHT_PX = 8
# Shares of a moved pointer's pixels that must be found again. The rest is lost where its edge meets another background.
_MOVED_SHARE = 0.85
_SHIFTED_SHARE = 0.95
_MIN_SHARE = 0.35
# This many pixels distinguish a pointer from text; more only take time. A dozen rule out most places.
_COMPARED_PX = 64
_FIRST_PX = 12
_OWN_SHARE = 0.75
_CHECKED_SHIFTS = 12
# A pointer that moved by more leaves two regions.
_SHIFT_PX = 32
_GROWTH_PX = 4
_NO_MATCH_LUMA = 1000
# The same pointer, seen twice, differs by no more.
_SHAPE_TOLERANCE_PX = 2
_SHAPE_LUMA = 40
# A stroke of a letter moves some blurred pixels by this share of the contrast around it; a codec moves them by less.
_STROKE_SHARE = 0.35
_STROKE_LUMA = 8
_STROKE_PX = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionPixels:
    """The luma around one region in both pictures, and a mask of the region's clearly changed pixels."""

    before: Pixels
    after: Pixels
    changed: Mask
    box: tuple[slice, slice]
    """The rows and the columns around the changed pixels."""
    moved_luma: int
    """The levels by which the most changed pixel moved."""

    @classmethod
    def of(cls, before: Pixels, after: Pixels, core: tuple[slice, slice]) -> RegionPixels:
        """Return the pixels of two crops of one place whose region fills `core`."""
        moved = np.abs(after[core] - before[core])
        changed = np.zeros(before.shape, np.bool_)
        most = int(moved.max())
        # A change below 0.4 of the largest is the blur that a codec leaves around a stroke.
        changed[core] = inner = moved >= 0.4 * most
        rows, columns = (
            slice(side.start + around.start, side.stop + around.start)
            for side, around in zip(extent(inner), core, strict=True)
        )
        return cls(before=before, after=after, changed=changed, box=(rows, columns), moved_luma=most)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """A small opaque picture: its luma, and the mask of the pixels that belong to it."""

    luma: Pixels
    mask: Mask


def is_caret(pixels: RegionPixels) -> bool:
    """Return whether a solid upright bar or block appeared or vanished: letters and digits leave holes."""
    rows, columns = pixels.box
    height_px, width_px = rows.stop - rows.start, columns.stop - columns.start
    filled = int(pixels.changed.sum()) / (height_px * width_px)
    return bool(height_px >= max(1.5 * width_px, _CARET_HEIGHT_PX) and filled >= _CARET_FILL)


def has_strokes(pixels: RegionPixels) -> bool:
    """Return whether a part of a letter appeared or vanished, however pale: a codec's noise moves no pixel so far."""
    near = tuple(
        slice(max(side.start - 6, 1), min(side.stop + 6, length - 1))
        for side, length in zip(pixels.box, pixels.before.shape, strict=True)
    )
    before, after = _sums(pixels.before, near), _sums(pixels.after, near)
    if not before.size:
        return False
    contrast = max(int(np.ptp(before)), int(np.ptp(after)))
    moved = np.abs(after - before)
    return int(np.count_nonzero(moved > max(_STROKE_SHARE * contrast, 9 * _STROKE_LUMA))) >= _STROKE_PX


def shifted_shape(pixels: RegionPixels) -> Shape | None:
    """Return the shape that stands in both pictures a few pixels apart, on any background, if there is one.

    At the right shift each changed pixel belongs to the old place (and is found ahead in the new picture) or to the new
    place (and is found behind in the old picture). A shape that only appeared or only vanished is found one way alone.
    """
    if pixels.moved_luma < _POINTER_LUMA:
        return None
    box = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in pixels.box)
    before, after, changed = pixels.before[box], pixels.after[box], pixels.changed[box]
    ys, xs = _points(changed, _COMPARED_PX)
    was = _was_there(pixels, before, after)[ys, xs]
    # Outside the box nothing moved, so nothing there may match.
    padded = np.pad(np.stack((before, after)), ((0, 0), *((_SHIFT_PX,) * 2,) * 2), constant_values=_NO_MATCH_LUMA)
    windows = sliding_window_view(padded, (2 * _SHIFT_PX + 1,) * 2, axis=(1, 2))
    best: tuple[float, int, int] | None = None
    for row, column in _likely_shifts(windows, before, after, ys, xs, was):
        down, right = row - _SHIFT_PX, column - _SHIFT_PX
        ahead = np.abs(padded[1, ys + row, xs + column] - before[ys, xs]) < _SIMILAR_LUMA
        behind = np.abs(padded[0, ys + _SHIFT_PX - down, xs + _SHIFT_PX - right] - after[ys, xs]) < _SIMILAR_LUMA
        own = float(np.where(was, ahead, behind).mean())
        both_ways = min(ahead.mean(), behind.mean()) >= _MIN_SHARE
        if both_ways and own >= _OWN_SHARE and (ahead | behind).mean() >= _SHIFTED_SHARE:
            best = max(best or (0.0, 0, 0), (own, down, right))
    return None if best is None else _at_one_place(pixels, best[1], best[2])


def moved_shape(origin: RegionPixels, target: RegionPixels) -> Shape | None:
    """Return the shape that stood at `origin` and stands, pixel for pixel, at `target`, if there is one."""
    if min(origin.moved_luma, target.moved_luma) < _POINTER_LUMA:
        return None
    place = _found(_changed_shape(origin, origin.before), target.after, target.box)
    # Checked the other way round too: blank paper is found wherever something new appears on it.
    if place is None or _found(_changed_shape(target, target.after), origin.before, origin.box) is None:
        return None
    rows, columns = origin.box
    whole = origin.changed.copy()
    ys, xs = np.nonzero(target.changed)
    ys, xs = ys - place[0] + rows.start, xs - place[1] + columns.start
    inside = (ys >= 0) & (xs >= 0) & (ys < whole.shape[0]) & (xs < whole.shape[1])
    whole[ys[inside], xs[inside]] = True
    return _shape(origin.before, whole)


def is_shown(shape: Shape, pixels: RegionPixels) -> bool:
    """Return whether a known shape arrived at a region or left it."""
    pictures = (pixels.before, pixels.after)
    return any(_found(shape, picture, pixels.box) is not None for picture in pictures)


def is_same_shape(one: Shape, other: Shape) -> bool:
    """Return whether two shapes are the same pointer seen twice: they have its size and its luma."""
    if any(abs(a - b) > _SHAPE_TOLERANCE_PX for a, b in zip(one.mask.shape, other.mask.shape, strict=True)):
        return False
    rows, columns = (min(a, b) for a, b in zip(one.mask.shape, other.mask.shape, strict=True))
    mask = one.mask[:rows, :columns] & other.mask[:rows, :columns]
    if 2 * int(mask.sum()) < int(one.mask.sum()):
        return False
    return float(np.abs(one.luma[:rows, :columns] - other.luma[:rows, :columns])[mask].mean()) < _SHAPE_LUMA


def shape_alone(pixels: RegionPixels) -> Shape:
    """Return the shape that arrived at a region or left it: from the picture that is less blank there."""
    return _changed_shape(pixels, pixels.before if has_left(pixels) else pixels.after)


def has_left(pixels: RegionPixels) -> bool:
    """Return whether what changed stood in the earlier picture: the later one is more blank there."""
    return int(np.ptp(pixels.before[pixels.box])) > int(np.ptp(pixels.after[pixels.box]))


def extent(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and the columns around a mask's pixels; the mask has at least one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _likely_shifts(
    windows: npt.NDArray[np.int16], before: Pixels, after: Pixels, ys: Indexes, xs: Indexes, was: Mask
) -> list[tuple[int, int]]:
    """Return the shifts, as places in a window, at which a few of the points are found again."""
    step = max(ys.size // _FIRST_PX, 1)
    ys, xs, was = ys[::step], xs[::step], was[::step]
    around = windows[:, ys, xs]
    ahead = np.abs(around[1] - before[ys, xs, None, None]) < _SIMILAR_LUMA
    behind = np.abs(around[0, :, ::-1, ::-1] - after[ys, xs, None, None]) < _SIMILAR_LUMA
    found = np.where(was[:, None, None], ahead, behind).mean(axis=0)
    best = np.argsort(found, axis=None)[: -_CHECKED_SHIFTS - 1 : -1]
    rows, columns = np.unravel_index(best[found.ravel()[best] >= _OWN_SHARE], found.shape)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _was_there(pixels: RegionPixels, before: Pixels, after: Pixels) -> Mask:
    """Return the pixels at a shape's old place: they were farther from the colour of the paper than they are."""
    paper = int(np.median(pixels.before))
    was: Mask = np.abs(before - paper) >= np.abs(after - paper)
    return was


def _at_one_place(pixels: RegionPixels, down: int, right: int) -> Shape:
    """Return the shape that moved by `down` and `right`, with its visible parts at both places laid over each other."""
    ys, xs = np.nonzero(pixels.changed)
    old = _was_there(pixels, pixels.before, pixels.after)[ys, xs]
    # Where the pixels of the old place stand now, and where those of the new place stood.
    other_ys, other_xs = np.where(old, ys + down, ys - down), np.where(old, xs + right, xs - right)
    height, width = pixels.changed.shape
    inside = (other_ys >= 0) & (other_xs >= 0) & (other_ys < height) & (other_xs < width)
    ys, xs, old, other_ys, other_xs = (each[inside] for each in (ys, xs, old, other_ys, other_xs))
    here = np.where(old, pixels.before[ys, xs], pixels.after[ys, xs])
    there = np.where(old, pixels.after[other_ys, other_xs], pixels.before[other_ys, other_xs])
    # Text that the shape covers or uncovers is found at one place only.
    both = np.abs(here - there) < _SIMILAR_LUMA
    whole = np.zeros(pixels.changed.shape, np.bool_)
    whole[np.where(old, ys, other_ys)[both], np.where(old, xs, other_xs)[both]] = True
    return _shape(pixels.before, whole if whole.any() else pixels.changed)


def _shape(picture: Pixels, mask: Mask) -> Shape:
    box = extent(mask)
    return Shape(luma=picture[box], mask=mask[box])


def _changed_shape(pixels: RegionPixels, picture: Pixels) -> Shape:
    """Return the shape of the changed pixels in one of the two pictures."""
    return Shape(luma=picture[pixels.box], mask=pixels.changed[pixels.box])


def _found(shape: Shape, picture: Pixels, changed: tuple[slice, slice]) -> tuple[int, int] | None:
    """Return where the shape's top left corner is found near the box of changed pixels: one shift for all pixels."""
    mask = shape.mask
    around = tuple(_grown(side, length) for side, length in zip(changed, mask.shape, strict=True))
    near = picture[around]
    if near.shape[0] < mask.shape[0] or near.shape[1] < mask.shape[1]:
        return None
    ys, xs = _points(mask, _COMPARED_PX)
    windows = sliding_window_view(near, mask.shape)[:, :, ys, xs]
    similar = (np.abs(windows - shape.luma[ys, xs]) < _SIMILAR_LUMA).mean(axis=2)
    row, column = np.unravel_index(int(similar.argmax()), similar.shape)
    if similar[row, column] < _MOVED_SHARE:
        return None
    return int(row) + around[0].start, int(column) + around[1].start


def _grown(side: slice, length: int) -> slice:
    """Return the side grown so that `length` pixels can move in it: part of a pointer may look like its background."""
    margin = max(length - (side.stop - side.start), 0) + _GROWTH_PX
    return slice(max(side.start - margin, 0), side.stop + margin)


def _points(mask: Mask, most: int) -> tuple[Indexes, Indexes]:
    """Return rows and columns of the mask's pixels; of many, an evenly spread sample."""
    ys, xs = np.nonzero(mask)
    step = -(-ys.size // most)
    return ys[::step], xs[::step]


def _sums(picture: Pixels, near: tuple[slice, ...]) -> Pixels:
    """Return the sums of the 3x3 pixels around each of some inner pixels: a blurred letter has those of a sharp one."""
    rows, columns = (slice(side.start - 1, side.stop + 1) for side in near)
    around = picture[rows, columns]
    three = around[:-2] + around[1:-1] + around[2:]
    sums: Pixels = three[:, :-2] + three[:, 1:-1] + three[:, 2:]
    return sums
