"""The colours and fonts of the rendered screens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from PIL import ImageFont

Colour = tuple[int, int, int]
Face = Literal["sans", "bold", "mono", "serif"]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FILES: dict[Face, str] = {
    "sans": "DejaVuSans.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "mono": "DejaVuSansMono.ttf",
    "serif": "DejaVuSerif.ttf",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """The colours of a desktop: its paper and ink, its bars, its frames, and one colour that stands out."""

    name: str
    paper: Colour
    ink: Colour
    muted: Colour
    bar: Colour
    frame: Colour
    accent: Colour

    @property
    def dark(self) -> bool:
        return sum(self.paper) < 3 * 128


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPalette:
    """The colours by which one design system tells states apart, and its tints for lines of a diff."""

    name: str
    good: Colour
    bad: Colour
    warn: Colour
    link: Colour
    good_tint: Colour
    bad_tint: Colour


def _rgb(code: str) -> Colour:
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def _theme(name: str, codes: str) -> Theme:
    paper, ink, muted, bar, frame, accent = map(_rgb, codes.split())
    return Theme(name=name, paper=paper, ink=ink, muted=muted, bar=bar, frame=frame, accent=accent)


def _palette(name: str, codes: str) -> StatusPalette:
    good, bad, warn, link, good_tint, bad_tint = map(_rgb, codes.split())
    return StatusPalette(name=name, good=good, bad=bad, warn=warn, link=link, good_tint=good_tint, bad_tint=bad_tint)


THEMES = (
    _theme("light", "ffffff 181818 707070 e2e6ea c8ccd0 1a73e8"),
    _theme("paper", "faf7ef 2b2b2b 85806f ece6d6 d3ccb8 8a5a00"),
    _theme("github light", "ffffff 1f2328 656d76 f6f8fa d0d7de 0969da"),
    _theme("solarized light", "fdf6e3 586e75 93a1a1 eee8d5 ddd6c1 268bd2"),
    _theme("dark", "1e1e1e d4d4d4 8a8a8a 3c3c42 505058 4fc1ff"),
    _theme("one dark", "282c34 abb2bf 5c6370 21252b 3e4451 61afef"),
    _theme("nord", "2e3440 d8dee9 7b88a1 3b4252 434c5e 88c0d0"),
    _theme("github dark", "0d1117 e6edf3 7d8590 161b22 30363d 2f81f7"),
    _theme("high contrast", "000000 ffffff c0c0c0 101010 6fc3df ffff00"),
)

TUNED_PALETTES = (
    _palette("css", "008000 ff0000 ffa500 0000ff c8f0c8 f0c8c8"),
    _palette("material", "4caf50 f44336 ff9800 2196f3 c8e6c9 ffcdd2"),
    _palette("bootstrap", "198754 dc3545 ffc107 0d6efd d1e7dd f8d7da"),
)
UNSEEN_PALETTES = (
    _palette("github", "1a7f37 cf222e 9a6700 0969da dafbe1 ffebe9"),
    _palette("google", "34a853 ea4335 fbbc04 1a73e8 ceead6 fad2cf"),
    _palette("tailwind", "16a34a dc2626 d97706 2563eb dcfce7 fee2e2"),
    _palette("okabe ito", "009e73 d55e00 e69f00 0072b2 cdeee4 f6dccb"),
    _palette("primer dark", "3fb950 f85149 d29922 58a6ff 12261e 25171c"),
)


@lru_cache(maxsize=64)
def font(face: Face, side_px: int) -> Font:
    """Return a DejaVu font, or Pillow's own where DejaVu is not installed."""
    try:
        return ImageFont.truetype(_FILES[face], side_px)
    except OSError:
        return ImageFont.load_default(side_px)
