"""Classifies changed regions: a pointer, a caret or a clock is no new content.

Only the last kept frame and the present one are compared. Sizes are (width, height) in cells of a 1080p grid, zones
are parts of the picture. All limits were found on rendered desktops sent through VP8, VP9 and H.264.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from room_agent.frames.cursors import RegionPixels, has_moved, has_shifted, is_caret, is_flat
from room_agent.frames.regions import Region
from room_agent.frames.verdict import LARGE_CELLS, Verdict

Size = tuple[int, int]
PixelsOf = Callable[[Region], RegionPixels]

_LONG_SIDE_CELLS = 480
"""The long side of the grid of a 1080p picture. The sizes below grow and shrink with the grid."""

# Specks are the traces that key frames leave of sharp edges.
_SPECK_CELLS = 2
_SPECK_LUMA = 60
_FEW_SPECKS = 8
_FAINT_TEXT_SPECKS = 3
_POINTER_CELLS: Size = (10, 13)
_CARET_CELLS: Size = (2, 14)
_BLOCK_CARET_CELLS: Size = (4, 8)
_CLOCK_CELLS: Size = (16, 5)
_CLOCK_TOP = 9 / 270
_CLOCK_BOTTOM = 14 / 270
_CLOCK_RIGHT = 0.4
_CLOCK_CENTRE = 0.1
_EDIT_GAP_CELLS = 24
# A pointer leaves one region behind and one ahead; more of a kind are content.
_MAX_OF_A_KIND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A verdict, its reason, and the unexplained regions: none when all are explained."""

    verdict: Verdict
    why: str
    regions: Sequence[Region] = ()


class _Kind(Enum):
    CLOCK = auto()
    CARET = auto()
    POINTER = auto()
    CONTENT = auto()


def explain(regions: Sequence[Region], pixels_of: PixelsOf, shape: Size) -> Explanation:
    """Return the verdict on the changed regions of a grid of `shape` (rows, columns).

    `pixels_of` is called for small regions only.
    """
    specks = _specks(regions)
    faint_text = _faint_text(specks)
    if faint_text:
        return changed(faint_text)
    rest = [region for region in regions if region not in specks]
    kinds: dict[_Kind, list[Region]] = {kind: [] for kind in _Kind}
    # The largest first: it is the likeliest content, and content ends the search.
    for region in sorted(rest, key=lambda region: region.cells, reverse=True):
        group = kinds[_kind(region, pixels_of, shape)]
        group.append(region)
        if kinds[_Kind.CONTENT] or len(group) > _MAX_OF_A_KIND:
            return changed(rest)
    if kinds[_Kind.POINTER]:
        return _explain_pointer(kinds[_Kind.POINTER], pixels_of)
    why = "caret blinked" if kinds[_Kind.CARET] else "clock ticked" if kinds[_Kind.CLOCK] else "codec noise"
    return Explanation(verdict=Verdict.SAME, why=why)


def changed(regions: Sequence[Region]) -> Explanation:
    """Return the verdict that `regions` are new content: a scene or an edit, by their size."""
    large = sum(region.cells for region in regions) >= LARGE_CELLS
    return Explanation(verdict=Verdict.CHANGED, why="scene changed" if large else "text changed", regions=regions)


def _kind(region: Region, pixels_of: PixelsOf, shape: Size) -> _Kind:
    scale = max(shape) / _LONG_SIDE_CELLS
    if _fits(region, _CLOCK_CELLS, scale) and _in_clock_zone(region, shape):
        return _Kind.CLOCK
    caret_sized = any(_fits(region, size, scale) for size in (_CARET_CELLS, _BLOCK_CARET_CELLS))
    if caret_sized and is_caret(pixels_of(region)):
        return _Kind.CARET
    upright = region.height >= 0.6 * region.width
    if upright and _fits(region, _POINTER_CELLS, scale):
        return _Kind.POINTER
    # A pointer that moved by less than its size leaves one region around both places.
    if upright and _fits(region, _POINTER_CELLS, 2 * scale) and has_shifted(pixels_of(region)):
        return _Kind.POINTER
    return _Kind.CONTENT


def _explain_pointer(regions: Sequence[Region], pixels_of: PixelsOf) -> Explanation:
    """Return the verdict on one or two regions of a pointer's size."""
    pixels = [pixels_of(region) for region in regions]
    if len(regions) == 1:
        moved = has_shifted(pixels[0])
        uncertain = regions[0].height > regions[0].width and is_flat(pixels[0])
    else:
        moved = has_moved(pixels[0], pixels[1]) or has_moved(pixels[1], pixels[0])
        uncertain = not _one_edit(regions[0], regions[1])
    if moved:
        return Explanation(verdict=Verdict.SAME, why="pointer moved")
    if uncertain:
        return Explanation(verdict=Verdict.MAYBE, why="small spot changed", regions=regions)
    return changed(regions)


def _one_edit(one: Region, other: Region) -> bool:
    """Return whether two regions stand close together on one row of text."""
    gap = max(one.left, other.left) - min(one.right, other.right)
    return one.top < other.bottom and other.top < one.bottom and gap <= _EDIT_GAP_CELLS


def _specks(regions: Sequence[Region]) -> list[Region]:
    """Return the regions too small and faint to be content. Many of them mean stronger noise: the limits double."""
    faint = [region for region in regions if region.cells <= _SPECK_CELLS and region.weight_luma < _SPECK_LUMA]
    if len(faint) <= _FEW_SPECKS:
        return faint
    return [region for region in regions if region.cells <= 2 * _SPECK_CELLS and region.weight_luma < 2 * _SPECK_LUMA]


def _faint_text(specks: Sequence[Region]) -> Sequence[Region]:
    """Return specks that stand close together on one row, unless there are many: pale grey text leaves no more."""
    if not _FAINT_TEXT_SPECKS <= len(specks) <= _FEW_SPECKS:
        return ()
    rows = ([other for other in specks if _follows(speck, other)] for speck in specks)
    return next((row for row in rows if len(row) >= _FAINT_TEXT_SPECKS), ())


def _follows(speck: Region, other: Region) -> bool:
    return abs(other.top - speck.top) <= 2 and 0 <= other.left - speck.left <= _EDIT_GAP_CELLS


def _fits(region: Region, size_cells: Size, scale: float) -> bool:
    return region.width <= size_cells[0] * scale and region.height <= size_cells[1] * scale


def _in_clock_zone(region: Region, shape: Size) -> bool:
    """Return whether the region lies at a desktop's clock: in the top or bottom bar, right or in the middle."""
    rows, columns = shape
    centre = (region.left + region.right) / 2 / columns
    in_a_bar = region.bottom <= rows * _CLOCK_TOP or region.top >= rows * (1 - _CLOCK_BOTTOM)
    return in_a_bar and (centre >= 1 - _CLOCK_RIGHT or abs(centre - 0.5) <= _CLOCK_CENTRE)
