"""The size of small text is estimated from the height of its lines."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from room_agent.frames.text_size import text_size_px
from tests.support.screens import photo, prose


def page(
    side_px: int, dark: bool = False, heading_px: int | None = None
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return the luma of a page of text."""
    image = Image.new("L", (900, 600), 30 if dark else 235)
    draw, ink = ImageDraw.Draw(image), 200 if dark else 20
    top = 10
    if heading_px is not None:
        draw.text((20, top), "A heading of several words", fill=ink, font=ImageFont.load_default(heading_px))
        top += 2 * heading_px
    for line in prose((590 - top) // (2 * side_px), words=12):
        draw.text((20, top), line, fill=ink, font=ImageFont.load_default(side_px))
        top += 2 * side_px
    return np.asarray(image)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("side_px", [11, 12, 14, 16, 20, 28])
def test_text_of_one_size_is_estimated_within_a_quarter(side_px: int, dark: bool) -> None:
    found = text_size_px(page(side_px, dark))
    assert found is not None and 0.75 * side_px <= found <= 1.25 * side_px


def test_the_text_below_a_large_heading_counts() -> None:
    found = text_size_px(page(12, heading_px=48))
    assert found is not None and found < 16


@pytest.mark.parametrize("luma", [photo().y, np.full((400, 600), 200, np.uint8), np.zeros((3, 9), np.uint8)])
def test_a_picture_without_text_has_no_text_size(luma: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> None:
    assert text_size_px(luma) is None
