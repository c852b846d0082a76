"""Recognizes a time of day in the pixels around a small changed region: two figures with a colon between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from room_agent.frames.cursors import Mask, Pixels

# A pixel is ink if it differs from the paper by this share of the most different pixel.
_INK_SHARE = 0.45
_LEAST_INK_LUMA = 20
# In heights of the text's line: a colon's width, the height of one of its dots, and the gap to the next figure.
_COLON_WIDTH = 0.35
_DOT_HEIGHT = 0.42
_GAP = 0.35
_FIGURE_HEIGHT = 0.7
_REACH = 3.5
_LEAST_HEIGHT_PX = 5


@dataclass(frozen=True, slots=True)
class _Glyph:
    """A run of columns with ink."""

    start: int
    stop: int
    ink: Mask

    @property
    def width(self) -> int:
        return self.stop - self.start

    @property
    def height(self) -> int:
        rows = np.flatnonzero(self.ink.any(axis=1))
        return int(rows[-1]) - int(rows[0]) + 1


MARGIN_PX = (8, 64)
"""How far above and below, and to the left and right of a region the text around it is read."""


def reads_as_time(picture: Pixels, rows: slice, columns: slice) -> bool:
    """Return whether the region `rows` by `columns` of a crop belongs to figures beside a colon."""
    ink = _ink(picture)
    line = _line(ink, (rows.start + rows.stop) // 2)
    if line is None:
        return False
    glyphs, height_px = _glyphs(ink[line]), line.stop - line.start
    reach_px = _REACH * height_px
    near = [glyph for glyph in glyphs if columns.start - reach_px <= glyph.start <= columns.stop + reach_px]
    return any(
        _is_colon(colon, height_px) and _is_figure(before, colon, height_px) and _is_figure(colon, after, height_px)
        for before, colon, after in zip(near, near[1:], near[2:], strict=False)
    )


def _ink(picture: Pixels) -> Mask:
    away = np.abs(picture - np.int16(np.median(picture)))
    limit_luma = max(_INK_SHARE * int(away.max()), _LEAST_INK_LUMA)
    ink: Mask = np.asarray(away >= limit_luma, np.bool_)
    return ink


def _line(ink: Mask, row: int) -> slice | None:
    """Return the rows of the line of text at `row`: those with ink, up to the nearest blank ones."""
    inked: Mask = np.logical_or.reduce(ink, axis=1)
    if not inked[row]:
        return None
    blank = np.flatnonzero(~inked)
    above, below = blank[blank < row], blank[blank > row]
    line = slice(int(above[-1]) + 1 if above.size else 0, int(below[0]) if below.size else inked.size)
    return line if line.stop - line.start >= _LEAST_HEIGHT_PX else None


def _glyphs(line: Mask) -> list[_Glyph]:
    edges = np.flatnonzero(np.diff(line.any(axis=0), prepend=False, append=False))
    spans = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [_Glyph(start, stop, line[:, start:stop]) for start, stop in spans]


def _is_colon(glyph: _Glyph, height_px: int) -> bool:
    if glyph.width > max(_COLON_WIDTH * height_px, 2):
        return False
    edges = np.flatnonzero(np.diff(glyph.ink.any(axis=1), prepend=False, append=False))
    heights = edges[1::2] - edges[::2]
    return heights.size == 2 and int(heights.max()) <= max(_DOT_HEIGHT * height_px, 2)


def _is_figure(one: _Glyph, next_one: _Glyph, height_px: int) -> bool:
    """Return whether two glyphs stand close together and the larger one is as tall as its line."""
    close = next_one.start - one.stop <= _GAP * height_px
    return close and max(one.height, next_one.height) >= _FIGURE_HEIGHT * height_px
