"""Cursors are told from letters by their outline."""

from __future__ import annotations

import string

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from room_agent.frames.cursor_shapes import CERTAIN, LIKELY, cursor_likeness
from room_agent.frames.cursors import Mask, extent
from tests.support.drawn_changes import ARROW, HAND


def outline(points: tuple[tuple[int, int], ...], scale: float) -> Mask:
    image = Image.new("L", (80, 80))
    ImageDraw.Draw(image).polygon([(8 + x * scale, 8 + y * scale) for x, y in points], outline=255)
    mask = np.asarray(image) > 100
    return mask[extent(mask)]


def glyph(letter: str, side_px: int) -> Mask:
    image = Image.new("L", (80, 80))
    ImageDraw.Draw(image).text((10, 10), letter, fill=255, font=ImageFont.load_default(side_px))
    mask = np.asarray(image) > 100
    return mask[extent(mask)]


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("points", [ARROW, HAND], ids=["arrow", "hand"])
def test_arrows_and_hands_are_certain_in_all_scalings(points: tuple[tuple[int, int], ...], scale: float) -> None:
    assert cursor_likeness(outline(points, scale)) >= CERTAIN


@pytest.mark.parametrize("side_px", [14, 16, 20, 24, 32])
def test_no_letter_or_figure_is_a_certain_cursor(side_px: int) -> None:
    likeness = {letter: cursor_likeness(glyph(letter, side_px)) for letter in string.ascii_letters + string.digits}
    assert max(likeness.values()) < CERTAIN
    assert sum(one >= LIKELY for one in likeness.values()) <= 6


def test_dots_bars_and_other_mirrored_shapes_are_no_cursors() -> None:
    disc = np.hypot(*np.mgrid[-8:9, -8:9]) <= 8
    assert cursor_likeness(disc) == cursor_likeness(np.ones((18, 2), np.bool_)) == 0.0
    assert cursor_likeness(np.ones((18, 12), np.bool_)) == 0.0


def test_an_i_beam_is_a_likely_cursor_and_no_certain_one() -> None:
    beam = np.zeros((17, 7), np.bool_)
    beam[:, 3] = beam[0] = beam[-1] = True
    assert LIKELY <= cursor_likeness(beam) < CERTAIN
