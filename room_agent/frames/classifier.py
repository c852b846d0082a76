"""Explains changed blobs that are no news: a pointer, a caret, a clock. Knows only the last kept frame and this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from room_agent.frames.cursors import RegionPixels, has_moved, has_shifted, is_caret, is_flat
from room_agent.frames.regions import Region
from room_agent.frames.verdict import LARGE_CELLS, Verdict

Size = tuple[int, int]
SpotOf = Callable[[Region], RegionPixels]

LONG_SIDE_CELLS = 480
"""The grid of a 1080p picture, for which sizes are given; they grow and shrink with the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSettings:
    """What may change unseen: sizes (width, height) in cells of a 1080p grid, zones in parts of the picture.

    Found on rendered desktops sent through VP8, VP9 and H.264. Specks are what key frames leave of sharp edges.
    """

    speck_cells: int = 2
    speck_luma: int = 60
    few_specks: int = 8
    faint_text_specks: int = 3
    pointer_cells: Size = (10, 13)
    caret_cells: Size = (2, 14)
    block_caret_cells: Size = (4, 8)
    clock_cells: Size = (16, 5)
    clock_top: float = 9 / 270
    clock_bottom: float = 14 / 270
    clock_right: float = 0.4
    clock_centre: float = 0.1
    edit_gap_cells: int = 24
    at_most: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A verdict, its reason, and the blobs it rests on: none when all are explained."""

    verdict: Verdict
    why: str
    blobs: Sequence[Region] = ()


class _Kind(Enum):
    CLOCK = auto()
    CARET = auto()
    POINTER = auto()
    NEWS = auto()


def explain(blobs: Sequence[Region], spot_of: SpotOf, shape: Size, settings: ExplainSettings) -> Explanation:
    """Return what the blobs of a grid of `shape` (rows, columns) amount to; only small ones are asked for pixels."""
    specks = _specks(blobs, settings)
    faint_text = _faint_text(specks, settings)
    if faint_text:
        return changed(faint_text)
    rest = [blob for blob in blobs if blob not in specks]
    kinds: dict[_Kind, list[Region]] = {kind: [] for kind in _Kind}
    # The largest first: it is the likeliest news, and news ends the search.
    for blob in sorted(rest, key=lambda blob: blob.cells, reverse=True):
        found = kinds[_kind(blob, spot_of, shape, settings)]
        found.append(blob)
        if kinds[_Kind.NEWS] or len(found) > settings.at_most:
            return changed(rest)
    if kinds[_Kind.POINTER]:
        return _pointers(kinds[_Kind.POINTER], spot_of, settings)
    why = "caret blinked" if kinds[_Kind.CARET] else "clock ticked" if kinds[_Kind.CLOCK] else "codec noise"
    return Explanation(verdict=Verdict.SAME, why=why)


def changed(blobs: Sequence[Region]) -> Explanation:
    """Return that nothing explains `blobs`."""
    large = sum(blob.cells for blob in blobs) >= LARGE_CELLS
    return Explanation(verdict=Verdict.CHANGED, why="scene changed" if large else "text changed", blobs=blobs)


def _kind(blob: Region, spot_of: SpotOf, shape: Size, settings: ExplainSettings) -> _Kind:
    scale = max(shape) / LONG_SIDE_CELLS
    if _fits(blob, settings.clock_cells, scale) and _in_clock_zone(blob, shape, settings):
        return _Kind.CLOCK
    caret_sized = any(_fits(blob, size, scale) for size in (settings.caret_cells, settings.block_caret_cells))
    if caret_sized and is_caret(spot_of(blob)):
        return _Kind.CARET
    upright = blob.height >= 0.6 * blob.width
    if upright and _fits(blob, settings.pointer_cells, scale):
        return _Kind.POINTER
    # A pointer that moved by less than its size leaves one blob around both places.
    if upright and _fits(blob, settings.pointer_cells, 2 * scale) and has_shifted(spot_of(blob)):
        return _Kind.POINTER
    return _Kind.NEWS


def _pointers(blobs: Sequence[Region], spot_of: SpotOf, settings: ExplainSettings) -> Explanation:
    """Decide on one or two blobs of a pointer's size."""
    spots = [spot_of(blob) for blob in blobs]
    if len(blobs) == 1:
        moved = has_shifted(spots[0])
        unsure = blobs[0].height > blobs[0].width and is_flat(spots[0])
    else:
        moved = has_moved(spots[0], spots[1]) or has_moved(spots[1], spots[0])
        unsure = not _one_edit(blobs[0], blobs[1], settings)
    if moved:
        return Explanation(verdict=Verdict.SAME, why="pointer moved")
    return Explanation(verdict=Verdict.MAYBE, why="small spot changed", blobs=blobs) if unsure else changed(blobs)


def _one_edit(one: Region, other: Region, settings: ExplainSettings) -> bool:
    """Return whether two blobs stand close on one row of text."""
    gap = max(one.left, other.left) - min(one.right, other.right)
    return one.top < other.bottom and other.top < one.bottom and gap <= settings.edit_gap_cells


def _specks(blobs: Sequence[Region], settings: ExplainSettings) -> list[Region]:
    """Return the blobs too small and faint to mean anything; where they are many the noise is stronger."""
    few = [blob for blob in blobs if blob.cells <= settings.speck_cells and blob.weight_luma < settings.speck_luma]
    if len(few) <= settings.few_specks:
        return few
    cells, luma = 2 * settings.speck_cells, 2 * settings.speck_luma
    return [blob for blob in blobs if blob.cells <= cells and blob.weight_luma < luma]


def _faint_text(specks: Sequence[Region], settings: ExplainSettings) -> Sequence[Region]:
    """Return specks that stand close on one row, unless there are many: pale grey text leaves no more than that."""
    if not settings.faint_text_specks <= len(specks) <= settings.few_specks:
        return ()
    rows = ([other for other in specks if _follows(speck, other, settings)] for speck in specks)
    return next((row for row in rows if len(row) >= settings.faint_text_specks), ())


def _follows(speck: Region, other: Region, settings: ExplainSettings) -> bool:
    return abs(other.top - speck.top) <= 2 and 0 <= other.left - speck.left <= settings.edit_gap_cells


def _fits(blob: Region, size_cells: Size, scale: float) -> bool:
    return blob.width <= size_cells[0] * scale and blob.height <= size_cells[1] * scale


def _in_clock_zone(blob: Region, shape: Size, settings: ExplainSettings) -> bool:
    """Return whether the blob lies where desktops put the time: in the top or bottom bar, right or in the middle."""
    rows, columns = shape
    middle = (blob.left + blob.right) / 2 / columns
    in_a_bar = blob.bottom <= rows * settings.clock_top or blob.top >= rows * (1 - settings.clock_bottom)
    return in_a_bar and (middle >= 1 - settings.clock_right or abs(middle - 0.5) <= settings.clock_centre)
