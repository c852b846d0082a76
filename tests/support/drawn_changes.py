"""Draw pairs of screens that differ by one small change, in the palettes of common themes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from room_agent.frames.i420 import Planes
from tests.support.screens import planes_of, prose

Colour = tuple[int, int, int]
Point = tuple[int, int]
SIZE = (1280, 720)


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of an editor's theme."""

    name: str
    paper: Colour
    ink: Colour
    comment: Colour


THEMES = (
    Theme("light", (255, 255, 255), (36, 41, 47), (106, 115, 125)),
    Theme("solarized-light", (253, 246, 227), (101, 123, 131), (147, 161, 161)),
    Theme("one-dark", (40, 44, 52), (171, 178, 191), (92, 99, 112)),
    Theme("nord", (46, 52, 64), (216, 222, 233), (76, 86, 106)),
    Theme("dracula", (40, 42, 54), (248, 248, 242), (98, 114, 164)),
    Theme("solarized-dark", (0, 43, 54), (131, 148, 150), (88, 110, 117)),
    Theme("monokai", (39, 40, 34), (248, 248, 242), (117, 113, 94)),
    Theme("github-dark", (13, 17, 23), (201, 209, 217), (139, 148, 158)),
    Theme("vs-dark", (30, 30, 30), (212, 212, 212), (106, 153, 85)),
)
LIGHT = THEMES[0]

# Windows draws a white arrow with a black edge, macOS a black one with a white edge.
ARROW = ((0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (6, 11), (11, 11))
HAND = (
    (5, 0),
    (7, 0),
    (7, 6),
    (12, 7),
    (14, 9),
    (14, 15),
    (12, 20),
    (5, 20),
    (0, 12),
    (1, 10),
    (4, 12),
    (4, 1),
)


class Screen:
    """A page of text under a top bar, in the colours of a theme, to draw on."""

    def __init__(self, theme: Theme = LIGHT, size: tuple[int, int] = SIZE, lines: int = 20) -> None:
        self.theme = theme
        self.image = _page(theme, size, lines).copy()
        self.draw = ImageDraw.Draw(self.image)

    def text(self, at: Point, text: str, colour: Colour | None = None, side_px: int = 14) -> Screen:
        font = ImageFont.load_default(side_px)
        self.draw.text(at, text, fill=self.theme.ink if colour is None else colour, font=font)
        return self

    def dot(self, at: Point, colour: Colour, side_px: int = 14) -> Screen:
        self.draw.ellipse((*at, at[0] + side_px, at[1] + side_px), fill=colour)
        return self

    def box(self, at: Point, size: Point, colour: Colour) -> Screen:
        self.draw.rectangle((*at, at[0] + size[0] - 1, at[1] + size[1] - 1), fill=colour)
        return self

    def pointer(self, at: Point, fill: Colour = (0, 0, 0), edge: Colour = (255, 255, 255)) -> Screen:
        self.draw.polygon([(at[0] + x, at[1] + y) for x, y in ARROW], fill=fill, outline=edge)
        return self

    def hand(self, at: Point) -> Screen:
        self.draw.polygon([(at[0] + x, at[1] + y) for x, y in HAND], fill=(255, 255, 255), outline=(0, 0, 0))
        return self

    def beam(self, at: Point) -> Screen:
        self.box(at, (7, 1), self.theme.ink).box((at[0], at[1] + 16), (7, 1), self.theme.ink)
        return self.box((at[0] + 3, at[1]), (1, 17), self.theme.ink)

    def pawn(self, at: Point, colour: Colour = (20, 20, 20)) -> Screen:
        x, y = at
        self.draw.ellipse((x + 5, y, x + 13, y + 8), fill=colour)
        self.draw.polygon(((x + 7, y + 7), (x + 11, y + 7), (x + 15, y + 20), (x + 3, y + 20)), fill=colour)
        self.draw.rectangle((x + 1, y + 20, x + 17, y + 23), fill=colour)
        return self

    def planes(self) -> Planes:
        return planes_of(self.image)


@lru_cache(maxsize=16)
def _page(theme: Theme, size: tuple[int, int], lines: int) -> Image.Image:
    """Return the page of text with which a screen begins; its callers draw on copies."""
    image = Image.new("RGB", size, theme.paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for row, line in enumerate(prose(lines)):
        draw.text((60, 60 + 24 * row), line, fill=theme.ink, font=font)
    return image


@dataclass(frozen=True, slots=True)
class Change:
    """Two screens, as functions that draw on an empty page."""

    name: str
    before: Callable[[], Screen]
    after: Callable[[], Screen]


def _at(name: str, at: Point, before: str, after: str, theme: Theme = LIGHT, comment: bool = False) -> Change:
    colour = theme.comment if comment else theme.ink
    return Change(name, lambda: Screen(theme).text(at, before, colour), lambda: Screen(theme).text(at, after, colour))


def _moved(name: str, draw: Callable[[Screen, Point], Screen], origin: Point, target: Point) -> Change:
    return Change(name, lambda: draw(Screen(), origin), lambda: draw(Screen(), target))


def _recoloured(name: str, draw: Callable[[Screen, Colour], Screen], before: Colour, after: Colour) -> Change:
    return Change(name, lambda: draw(Screen(), before), lambda: draw(Screen(), after))


GREENS_AND_REDS: dict[str, tuple[Colour, Colour]] = {
    "css": ((0, 128, 0), (255, 0, 0)),
    "material": ((76, 175, 80), (244, 67, 54)),
    "bootstrap": ((25, 135, 84), (220, 53, 69)),
    "github": ((26, 127, 55), (207, 34, 46)),
    "google": ((52, 168, 83), (234, 67, 53)),
    "dark-css": ((0, 100, 0), (139, 0, 0)),
}

EXPLAINED_AWAY = (
    _at("alerts in the top bar", (1150, 8), "0 alerts", "7 alerts"),
    _at("participants in the top bar", (620, 8), "1 participant", "9 participants"),
    _at("one figure in the top bar", (1150, 8), "1 guest", "9 guest"),
    _at("a count in a tab", (900, 8), "Inbox", "Inbox (1)"),
    _at("a figure in the last row", (1100, 698), "118", "718"),
    _at("l typed alone", (60, 600), "", "l"),
    _at("a bar typed alone", (60, 600), "", "|"),
    _at("two digits swap places", (60, 600), "1042", "1402"),
    _moved("a radio button", lambda screen, at: screen.dot(at, (40, 40, 40), 10), (700, 100), (700, 130)),
    _moved("a blue radio button", lambda screen, at: screen.dot(at, (40, 104, 200), 10), (700, 100), (700, 130)),
    _moved("a pawn", lambda screen, at: screen.pawn(at), (700, 100), (700, 180)),
    _moved("an icon", lambda screen, at: screen.box(at, (12, 16), (60, 60, 70)), (650, 300), (950, 300)),
    *[
        _at(f"a comment in {theme.name}", (60, 600), "# the plan", "# the cost", theme, comment=True)
        for theme in THEMES
    ],
    *[_at(f"a figure in {theme.name}", (60, 600), "total 81", "total 83", theme) for theme in THEMES],
)

RECOLOURED = (
    *[
        _recoloured(f"a dot in {name}", lambda screen, colour: screen.dot((700, 200), colour), *colours)
        for name, colours in GREENS_AND_REDS.items()
    ],
    *[
        _recoloured(f"a panel in {name}", lambda screen, colour: screen.box((700, 200), (300, 200), colour), *colours)
        for name, colours in GREENS_AND_REDS.items()
    ],
    _recoloured(
        "a word becomes a link",
        lambda screen, colour: screen.text((700, 200), "report", colour),
        (36, 41, 47),
        (9, 105, 218),
    ),
    _recoloured(
        "a line gets a diff's tint",
        lambda screen, colour: screen.box((60, 560), (500, 20), colour),
        (255, 255, 255),
        (230, 255, 236),
    ),
)
