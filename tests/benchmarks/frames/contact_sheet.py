"""Draws the looks of a session side by side: those that were sent in a green frame, reused ones in blue."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from room_agent.frames.i420 import Planes
from tests.benchmarks.frames.themes import font
from tests.support.screens import rgb_of

_THUMBNAIL_PX = (192, 108)
_COLUMNS = 10
_GAP_PX = 8
_SENT, _REUSED, _DROPPED = (20, 160, 60), (40, 90, 220), (225, 225, 225)


class SessionSheet:
    """The thumbnails of one session."""

    def __init__(self) -> None:
        self._looks: list[tuple[Image.Image, tuple[int, int, int], str]] = []

    def add(self, planes: Planes, *, sent: bool, known: bool, at_s: float) -> None:
        """Add a look."""
        # Chroma has half of luma's size, so a picture of it alone needs no scaling of colours.
        chroma = planes.u.shape
        small = Planes(y=planes.y[: 2 * chroma[0] : 2, : 2 * chroma[1] : 2], u=planes.u[::2, ::2], v=planes.v[::2, ::2])
        image = rgb_of(small).resize(_THUMBNAIL_PX)
        self._looks.append((image, _SENT if sent else _REUSED if known else _DROPPED, f"{at_s:.0f} s"))

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG."""
        width_px, height_px = _THUMBNAIL_PX[0] + _GAP_PX, _THUMBNAIL_PX[1] + _GAP_PX
        rows = -(-len(self._looks) // _COLUMNS)
        sheet = Image.new("RGB", (_COLUMNS * width_px, rows * height_px), "white")
        draw = ImageDraw.Draw(sheet)
        for number, (image, colour, label) in enumerate(self._looks):
            left, top = number % _COLUMNS * width_px, number // _COLUMNS * height_px
            draw.rectangle((left, top, left + width_px - 2, top + height_px - 2), fill=colour)
            sheet.paste(image, (left + _GAP_PX // 2, top + _GAP_PX // 2))
            draw.text((left + _GAP_PX, top + _GAP_PX), label, fill=(120, 120, 120), font=font("bold", 12))
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
