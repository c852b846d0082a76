"""Classifies changed regions: content, or what may be a pointer, a caret, a clock or noise.

Only the last kept frame and the present one are compared. Sizes are (width, height) in cells of a 1080p grid. All
limits were found on rendered desktops sent through VP8, VP9 and H.264.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from room_agent.frames.cursor_shapes import CERTAIN, LIKELY, cursor_likeness
from room_agent.frames.cursors import (
    RegionPixels,
    Shape,
    has_left,
    has_strokes,
    is_caret,
    is_same_shape,
    is_shown,
    moved_shape,
    shape_alone,
    shifted_shape,
)
from room_agent.frames.noise import FEW_SPECKS, faint_text_of, specks_of
from room_agent.frames.regions import Region
from room_agent.frames.verdict import Finding, RegionKind

Size = tuple[int, int]

_LONG_SIDE_CELLS = 480
"""The long side of the grid of a 1080p picture. The sizes below grow and shrink with the grid."""

# Cells that moved by less than this on average are noise unless their pixels show a part of a letter.
_PALE_LUMA = 18
# At the start of a stream, and at low rates, the colours of flat areas come late by up to this many levels.
_SMEARED_CHROMA = 24
_SPECK_SMEARED_CHROMA = 40
_DOT_CELLS = 6
_MOST_DETAILS = 6
_POINTER_CELLS: Size = (10, 13)
_CARET_CELLS: Size = (2, 14)
_BLOCK_CARET_CELLS: Size = (4, 8)
_CLOCK_CELLS: Size = (16, 5)
# A desktop's bar, where its clock stands, is no higher than this share of the picture.
_BAR = 14 / 270
_APART_LIKENESS = 0.55
# A pointer leaves one region behind and one ahead; more of a kind are content.
_MAX_OF_A_KIND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionReader:
    """The ways to read the pixels of a region, called for small regions only, and the grid's shape in cells."""

    pixels: Callable[[Region], RegionPixels]
    reads_as_time: Callable[[Region], bool]
    shape: Size
    is_sharp: bool = True
    """Whether both pictures have one size: an enlarged one shows no details."""
    known_shapes: Sequence[Shape] = ()
    """Shapes that were seen to move like a pointer."""

    @property
    def scale(self) -> float:
        return max(self.shape) / _LONG_SIDE_CELLS


def classify(regions: Sequence[Region], faint: Sequence[Region], reader: RegionReader) -> list[Finding]:
    """Return a finding for each region; of `faint` regions, those that moved by little, only for the details."""
    regions = _with_whole_beams(regions, reader.scale)
    specks = specks_of(regions)
    faint_text = faint_text_of(specks)
    found = [_finding(RegionKind.CONTENT, region) for region in faint_text]
    rest = [region for region in specks if region not in faint_text]
    details = (
        []
        if len(specks) > FEW_SPECKS or not reader.is_sharp
        else _details([*rest, *(region for region in faint if region.cells > 1)], reader)
    )
    found += details
    found += [_finding(RegionKind.NOISE, region) for region in rest if all(region != one.region for one in details)]
    spots: list[Region] = []
    for region in regions:
        if region in specks:
            continue
        kind = _kind(region, reader)
        if kind is RegionKind.SPOT:
            spots.append(region)
        else:
            found.append(_finding(kind, region))
    found += _spots(spots, reader)
    return _without_crowds(found)


def could_be_clock(region: Region, shape: Size) -> bool:
    """Return whether a region of a grid of `shape` is as small as a clock, and stands in a bar of the desktop."""
    return _fits(region, _CLOCK_CELLS, max(shape) / _LONG_SIDE_CELLS) and _in_a_bar(region, shape)


def could_be_caret(region: Region, shape: Size) -> bool:
    """Return whether a region of a grid of `shape` is as small as a caret."""
    return any(_fits(region, size, max(shape) / _LONG_SIDE_CELLS) for size in (_CARET_CELLS, _BLOCK_CARET_CELLS))


def _with_whole_beams(regions: Sequence[Region], scale: float) -> list[Region]:
    """Return the regions, with two that stand one above the other as one: the serifs of an I-beam with a pale stem."""
    flat = [region for region in regions if region.height <= 3 * scale + 1 and region.width <= 6 * scale]
    # Noise leaves hundreds of specks, so only those below each other are compared.
    by_left: dict[int, list[Region]] = {}
    for region in flat:
        by_left.setdefault(region.left, []).append(region)
    joined, used = [], set[int]()
    for upper in flat:
        near = (lower for left in range(upper.left - 1, upper.left + 2) for lower in by_left.get(left, ()))
        for lower in near:
            aligned = abs(upper.right - lower.right) <= 1 and 0 < lower.top - upper.bottom <= 8 * scale
            if aligned and not used & {id(upper), id(lower)}:
                joined.append(upper.joined(lower))
                used |= {id(upper), id(lower)}
    return [*(region for region in regions if id(region) not in used), *joined]


def _kind(region: Region, reader: RegionReader) -> RegionKind:
    """Return CONTENT, CARET or CLOCK, or SPOT for a region of a pointer's size."""
    if _is_coloured(region):
        return RegionKind.NOISE if _is_smeared(region) else RegionKind.CONTENT
    if region.weight_luma < _PALE_LUMA * region.cells and not region.weight_chroma > region.weight_luma:
        return RegionKind.DETAIL if reader.is_sharp and has_strokes(reader.pixels(region)) else RegionKind.NOISE
    if could_be_clock(region, reader.shape) and reader.reads_as_time(region):
        return RegionKind.CLOCK
    if could_be_caret(region, reader.shape) and is_caret(reader.pixels(region)):
        return RegionKind.CARET
    # A pointer that moved by less than its size leaves one region around both places.
    upright = region.height >= 0.6 * region.width
    return RegionKind.SPOT if upright and _fits(region, _POINTER_CELLS, 2 * reader.scale) else RegionKind.CONTENT


def _spots(spots: Sequence[Region], reader: RegionReader) -> list[Finding]:
    """Return the findings for the regions of a pointer's size: a pointer, an unknown shape that moved, or content."""
    if not spots:
        return []
    if len(spots) > 2 * _MAX_OF_A_KIND:
        return [_finding(RegionKind.CONTENT, region) for region in spots]
    pixels = [reader.pixels(region) for region in spots]
    alone = [_pointer_alone(region, one, reader) for region, one in zip(spots, pixels, strict=True)]
    found = {index: finding for index, finding in enumerate(alone) if finding is not None}
    likely = set(found)
    # The outline of one pointer may be lost in the text around it, and its pixels are those of the other place.
    shapes = [*reader.known_shapes, *(finding.shape for finding in found.values() if finding.shape is not None)]
    for index, region in enumerate(spots):
        if index not in found and _is_pointer_sized(region, reader) and _shows(shapes, pixels[index]):
            found[index] = _finding(RegionKind.POINTER, region)
    certain = reader.known_shapes or any(finding.kind is RegionKind.POINTER for finding in found.values())
    if certain or len(found) == _MAX_OF_A_KIND:
        # There is a pointer on this screen, so another thing like one is that pointer too.
        found = {index: replace(finding, kind=RegionKind.POINTER) for index, finding in found.items()}
    for origin, target in permutations(range(len(spots)), 2):
        # Two cursors need no comparison of their pixels.
        if origin in likely and target in likely:
            continue
        if not all(_is_pointer_sized(spots[index], reader) for index in (origin, target)):
            continue
        shape = moved_shape(pixels[origin], pixels[target])
        if shape is None:
            continue
        pointer = any(found[index].kind is RegionKind.POINTER for index in (origin, target) if index in found)
        pointer |= _is_known(shape, reader)
        # Two dots that are laid over each other a pixel apart may look like an arrow: one alone must look like it too.
        apart = max(cursor_likeness(shape_alone(pixels[index]).mask) for index in (origin, target))
        pointer |= apart >= _APART_LIKENESS and cursor_likeness(shape.mask) >= LIKELY
        kind = RegionKind.POINTER if pointer else RegionKind.SPOT
        found |= {index: Finding(kind=kind, region=spots[index], shape=shape) for index in (origin, target)}
    for index, region in enumerate(spots):
        if index not in found or (found[index].kind is RegionKind.SPOT and found[index].shape is None):
            shifted = _shifted(region, pixels[index], reader)
            found[index] = shifted if shifted.kind is RegionKind.POINTER else found.get(index, shifted)
    return list(found.values())


def _pointer_alone(region: Region, pixels: RegionPixels, reader: RegionReader) -> Finding | None:
    """Return the finding for a pointer that arrived at a region or left it: a SPOT if its outline is only likely."""
    if not _is_pointer_sized(region, reader):
        return None
    shape = shape_alone(pixels)
    likeness = cursor_likeness(shape.mask)
    if likeness < LIKELY:
        return None
    # Only a certain outline is remembered as that of this screen's pointer. A likely one that leaves is a pointer
    # too: letters are typed one by one, but seldom deleted so.
    certain = likeness >= CERTAIN
    kind = RegionKind.POINTER if certain or has_left(pixels) else RegionKind.SPOT
    return Finding(kind=kind, region=region, shape=shape if certain else None)


def _is_pointer_sized(region: Region, reader: RegionReader) -> bool:
    return _fits(region, _POINTER_CELLS, reader.scale)


def _shows(shapes: Sequence[Shape], pixels: RegionPixels) -> bool:
    """Return whether one of the shapes arrived at a region or left it."""
    return any(is_shown(shape, pixels) for shape in shapes)


def _shifted(region: Region, pixels: RegionPixels, reader: RegionReader) -> Finding:
    """Return the finding for a region by itself: a shape that moved by less than its size, or content."""
    shape = shifted_shape(pixels)
    if shape is None:
        return _finding(RegionKind.CONTENT, region)
    kind = RegionKind.POINTER if _is_pointer(shape, reader) else RegionKind.SPOT
    return Finding(kind=kind, region=region, shape=shape)


def _is_pointer(shape: Shape, reader: RegionReader) -> bool:
    """Return whether a shape that moved has a cursor's outline, or moved like a pointer before."""
    return cursor_likeness(shape.mask) >= LIKELY or _is_known(shape, reader)


def _is_known(shape: Shape, reader: RegionReader) -> bool:
    """Return whether a shape is one of those that moved like a pointer, by its size and its luma."""
    return any(is_same_shape(shape, known) for known in reader.known_shapes)


def _details(regions: Sequence[Region], reader: RegionReader) -> list[Finding]:
    """Return those of the regions that show a part of a letter, among the heaviest of them."""
    heaviest = sorted(regions, key=lambda region: region.weight_luma, reverse=True)[:_MOST_DETAILS]
    return [_finding(RegionKind.DETAIL, region) for region in heaviest if has_strokes(reader.pixels(region))]


def _without_crowds(found: list[Finding]) -> list[Finding]:
    """Return the findings, with more carets, clocks or pointers than there can be as content."""
    crowded = {
        kind
        for kind in (RegionKind.POINTER, RegionKind.SPOT, RegionKind.CARET, RegionKind.CLOCK)
        if sum(finding.kind is kind for finding in found) > _MAX_OF_A_KIND
    }
    return [_finding(RegionKind.CONTENT, finding.region) if finding.kind in crowded else finding for finding in found]


def _finding(kind: RegionKind, region: Region) -> Finding:
    return Finding(kind=kind, region=region)


def _is_coloured(region: Region) -> bool:
    """Return whether colour changed more than brightness: no pointer, caret or clock does that."""
    return region.weight_chroma > 1.5 * region.weight_luma


def _is_smeared(region: Region) -> bool:
    """Return whether a codec may have smeared colours over a region: it moves them by little, or thinly."""
    limit = _SMEARED_CHROMA if region.cells >= _DOT_CELLS else _SPECK_SMEARED_CHROMA
    return _is_coloured(region) and region.weight_chroma < limit * region.cells


def _fits(region: Region, size_cells: Size, scale: float) -> bool:
    return region.width <= size_cells[0] * scale and region.height <= size_cells[1] * scale


def _in_a_bar(region: Region, shape: Size) -> bool:
    """Return whether the region lies in the top or the bottom bar of a desktop."""
    rows, _ = shape
    return region.bottom <= rows * _BAR or region.top >= rows * (1 - _BAR)
