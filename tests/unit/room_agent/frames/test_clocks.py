"""A time of day is told from other figures by the colon between its figures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from room_agent.frames.clocks import reads_as_time


def reads(text: str, changed_px: tuple[int, int], side_px: int = 14, dark: bool = False) -> bool:
    """Return whether the columns `changed_px` of a drawn text read as a part of a time."""
    paper, ink = (30, 220) if dark else (220, 30)
    image = Image.new("L", (160, 40), paper)
    ImageDraw.Draw(image).text((30, 10), text, fill=ink, font=ImageFont.load_default(side_px))
    return reads_as_time(np.asarray(image, np.int16), slice(12, 24), slice(*changed_px))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("side_px", [12, 14, 16])
@pytest.mark.parametrize("text", ["10:41", "09:59", "23:18 PM", "Mon 8:07"])
def test_a_time_is_read(text: str, side_px: int, dark: bool) -> None:
    end_px = 30 + int(ImageFont.load_default(side_px).getlength(text.removesuffix(" PM")))
    assert reads(text, (end_px - 8, end_px), side_px, dark)


@pytest.mark.parametrize("text", ["7 alerts", "118", "Inbox (1)", "9 participants", "10.41", "score; 7", "", "liji 11"])
def test_other_figures_are_not(text: str) -> None:
    assert not any(reads(text, (left, left + 8)) for left in range(30, 90, 8))


def test_figures_far_from_a_colon_are_not() -> None:
    assert not reads("at 10:41 we have 118", (145, 155))
