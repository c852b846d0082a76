"""Draw a scripted desktop: the content of a shared screen at a given second."""

from __future__ import annotations

import math
import random
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

Scene = Literal["typing", "scrolling", "slides", "pointer", "still"]
Size = tuple[int, int]
Point = tuple[int, int]

# A line is typed, then it stays for a while.
TYPED_LINES, LINE_TYPED_S, LINE_S = 2, 4.0, 7.0
# A turn of the wheel, then the page is read.
TURNS, TURN_S, READ_S, TURN_PX = 3, 1.0, 2.0, 330
SLIDES, SLIDE_S = 3, 3.0
POINTER_S = 7.0

Script = tuple[tuple[Scene, float], ...]
"""The scenes in order, each with its length in seconds."""

SCRIPT: Script = (
    ("typing", TYPED_LINES * LINE_S),
    ("scrolling", TURNS * (TURN_S + READ_S)),
    ("slides", SLIDES * SLIDE_S),
    ("pointer", POINTER_S),
    ("still", 6.0),
)
# After this time a scene begins again.
_SCENE_LENGTH_S = dict(SCRIPT)

MIN_SIZE_PX = (640, 480)
WRITTEN_LINES = 16
TYPED_LETTERS, LINE_LETTERS, TITLE_LETTERS = 48, 96, 28

BAR_PX, LINE_PX, MARGIN_PX, TEXT_PX = 40, 22, 72, 15
_INK, _GREY, _PAPER, _BAR, _BLUE = (24, 24, 28), (120, 124, 132), (255, 255, 255), (222, 226, 232), (40, 104, 200)
_POINTER = ((0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (6, 11), (11, 11))
_WORDS = (
    "the plan for next quarter moves review into week two so that support can read every change before it ships and "
    "sales has numbers from both regions while design keeps one page about open questions budget owners dates risks"
).split()

# Limited-range BT.601, as WebRTC expects it, of full-range RGB: three weights and an offset.
_Y = (65.481 / 255, 128.553 / 255, 24.966 / 255, 16.0)
_U = (-37.797 / 255, -74.203 / 255, 112.0 / 255, 128.0)
_V = (112.0 / 255, -93.786 / 255, -18.214 / 255, 128.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The parameters of a picture: equal views give equal pictures."""

    page: str
    pointer: Point
    typed: int = 0
    caret: bool = False
    scrolled_px: int = 0


class ScreenScript:
    """One room's screen: a script that repeats, of 45 s by default. The seed selects the first scene and the
    texts.

    Raises ValueError for a side that is odd, or a screen below 640x480.
    """

    def __init__(self, seed: int, width_px: int = 1280, height_px: int = 720, script: Script = SCRIPT) -> None:
        if width_px % 2 or height_px % 2 or width_px < MIN_SIZE_PX[0] or height_px < MIN_SIZE_PX[1]:
            raise ValueError(f"A screen has even sides and at least 640x480 pixels, not {width_px}x{height_px}.")
        self._size = (width_px, height_px)
        self._seed = seed
        self._script, self._script_s = script, sum(seconds for _, seconds in script)
        self._first_s = sum(seconds for _, seconds in script[: seed % len(script)])
        self._typed = prose(random.Random(f"{seed} typed"), TYPED_LINES, TYPED_LETTERS)
        self._page: tuple[str, Image.Image] | None = None
        self._drawn: tuple[_View, Image.Image] | None = None
        self._i420 = I420Converter(self._size)

    def draw(self, t_s: float) -> Image.Image:
        """Return the screen as an RGB picture."""
        return self._picture(t_s).copy()

    def i420(self, t_s: float) -> bytes:
        """Return the screen as tightly packed I420 planes; the same object while nothing changes."""
        return self._i420(self._picture(t_s))

    def _scene(self, t_s: float) -> tuple[Scene, float]:
        """Return the scene, and the seconds since it began."""
        into_s = (t_s + self._first_s) % self._script_s
        for scene, seconds in self._script:
            if into_s < seconds:
                return scene, into_s % _SCENE_LENGTH_S[scene]
            into_s -= seconds
        raise AssertionError("the remainder lies within the script")

    def _view(self, t_s: float) -> _View:
        scene, into_s = self._scene(t_s)
        resting = (self._size[0] * 2 // 3, self._size[1] * 3 // 4)
        match scene:
            case "typing":
                return _View(page="notes", pointer=resting, typed=self._letters(into_s), caret=into_s % 1.0 < 0.5)
            case "scrolling":
                turn, into_turn_s = divmod(into_s, TURN_S + READ_S)
                return _View(
                    page="report", pointer=resting, scrolled_px=int(TURN_PX * (turn + min(into_turn_s / TURN_S, 1.0)))
                )
            case "slides":
                return _View(page=f"slide {int(into_s / SLIDE_S) + 1}", pointer=resting)
            case "pointer":
                angle = math.tau * into_s / POINTER_S
                x_px, y_px = self._size[0] / 2, self._size[1] / 2
                moved = (int(x_px * (1 + 0.6 * math.sin(angle))), int(y_px * (1 + 0.5 * math.sin(2 * angle))))
                return _View(page="figures", pointer=moved)
            case "still":
                return _View(page="figures", pointer=(self._size[0] // 2, self._size[1] // 2))

    def _letters(self, into_s: float) -> int:
        line_index, into_line_s = divmod(into_s, LINE_S)
        before = sum(len(line) for line in self._typed[: int(line_index)])
        return before + int(len(self._typed[int(line_index)]) * min(into_line_s / LINE_TYPED_S, 1.0))

    def _picture(self, t_s: float) -> Image.Image:
        view = self._view(t_s)
        if self._drawn is None or self._drawn[0] != view:
            self._drawn = view, self._paint(view)
        return self._drawn[1]

    def _paint(self, view: _View) -> Image.Image:
        """Draw the moving parts on the visible part of the page; the page itself is drawn once a scene."""
        if self._page is None or self._page[0] != view.page:
            self._page = view.page, _page(view.page, self._seed, self._size)
        width_px, height_px = self._size
        picture = self._page[1].crop((0, view.scrolled_px, width_px, view.scrolled_px + height_px))
        draw = ImageDraw.Draw(picture)
        if view.page == "notes":
            _type(draw, self._typed, view)
        draw.rectangle((0, 0, width_px, BAR_PX - 1), fill=_BAR)
        draw.text((14, 11), f"{view.page} - desk {self._seed}", fill=_INK, font=_font(TEXT_PX))
        outline = [(view.pointer[0] + x, view.pointer[1] + y) for x, y in _POINTER]
        draw.polygon(outline, fill=(0, 0, 0), outline=(255, 255, 255))
        return picture


class I420Converter:
    """Converts pictures of one size, each time only the part that differs from the previous picture."""

    def __init__(self, size: Size) -> None:
        width_px, height_px = size
        self._flat = np.zeros(width_px * height_px * 3 // 2, np.uint8)
        luma, chroma = width_px * height_px, width_px * height_px // 4
        self._y = self._flat[:luma].reshape(height_px, width_px)
        self._u = self._flat[luma : luma + chroma].reshape(height_px // 2, width_px // 2)
        self._v = self._flat[luma + chroma :].reshape(height_px // 2, width_px // 2)
        self._last: Image.Image | None = None
        self._bytes = b""

    def __call__(self, picture: Image.Image) -> bytes:
        """Return the planes of an RGB picture in limited-range BT.601: the same object while the picture is equal."""
        if self._last is picture:
            return self._bytes
        changed = (0, 0, *picture.size) if self._last is None else ImageChops.difference(self._last, picture).getbbox()
        self._last = picture
        if changed is not None:
            self._convert(picture, changed)
            self._bytes = self._flat.tobytes()
        return self._bytes

    def _convert(self, picture: Image.Image, box: tuple[int, int, int, int]) -> None:
        # Grown to whole chroma samples of two by two pixels.
        left, top, right, bottom = box[0] & ~1, box[1] & ~1, box[2] + 1 & ~1, box[3] + 1 & ~1
        part = picture.crop((left, top, right, bottom))
        self._y[top:bottom, left:right] = np.asarray(part.convert("L", _Y))
        halved = part.reduce(2)
        chroma = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
        self._u[chroma] = np.asarray(halved.convert("L", _U))
        self._v[chroma] = np.asarray(halved.convert("L", _V))


def prose(rng: random.Random, lines: int, letters: int) -> list[str]:
    """Return lines of at most `letters`, always the same for the same generator state."""
    words = " ".join(rng.choices(_WORDS, k=lines * letters // 4))
    return textwrap.wrap(words, letters)[:lines]


def _page(name: str, seed: int, size: Size) -> Image.Image:
    """Draw a page without its moving parts; a page to be scrolled is higher than the screen."""
    rng = random.Random(f"{seed} {name}")
    width_px, height_px = size
    page = Image.new("RGB", (width_px, height_px + (TURNS * TURN_PX if name == "report" else 0)), _PAPER)
    draw = ImageDraw.Draw(page)
    if name == "figures":
        _figures(draw, rng, size)
    elif name.startswith("slide"):
        _slide(draw, rng, size)
    else:
        lines = WRITTEN_LINES if name == "notes" else page.height // LINE_PX
        _lines(draw, prose(rng, lines, LINE_LETTERS), numbered=name == "notes")
    return page


def _lines(draw: ImageDraw.ImageDraw, lines: Sequence[str], numbered: bool) -> None:
    for number, text in enumerate(lines):
        heading = not numbered and number % 9 == 0
        colour = _BLUE if heading else _INK
        draw.text(
            (MARGIN_PX, _line_top_px(number)), text.title() if heading else text, fill=colour, font=_font(TEXT_PX)
        )
    for number in range(len(lines) + TYPED_LINES if numbered else 0):
        draw.text((MARGIN_PX - 40, _line_top_px(number)), str(number + 1), fill=_GREY, font=_font(14))


def _slide(draw: ImageDraw.ImageDraw, rng: random.Random, size: Size) -> None:
    width_px, height_px = size
    colour = tuple(rng.randrange(40, 160) for _ in range(3))
    draw.rectangle((0, BAR_PX, width_px, BAR_PX + height_px // 6), fill=colour)
    draw.text(
        (MARGIN_PX, BAR_PX + height_px // 18), prose(rng, 1, TITLE_LETTERS)[0].title(), fill=_PAPER, font=_font(34)
    )
    for number, text in enumerate(prose(rng, rng.randrange(3, 6), LINE_LETTERS // 2)):
        y_px = BAR_PX + height_px // 4 + number * 56
        draw.ellipse((MARGIN_PX, y_px + 6, MARGIN_PX + 10, y_px + 16), fill=colour)
        draw.text((MARGIN_PX + 30, y_px), text, fill=_INK, font=_font(22))


def _figures(draw: ImageDraw.ImageDraw, rng: random.Random, size: Size) -> None:
    width_px, height_px = size
    bottom_px, step_px = height_px - 90, (width_px - 2 * MARGIN_PX) // 8
    draw.text((MARGIN_PX, BAR_PX + 24), prose(rng, 1, TYPED_LETTERS)[0], fill=_INK, font=_font(16))
    for number in range(8):
        value = rng.randrange(20, 100)
        left_px, top_px = MARGIN_PX + number * step_px, bottom_px - value * (bottom_px - 160) // 100
        draw.rectangle((left_px, top_px, left_px + step_px * 2 // 3, bottom_px), fill=_BLUE)
        draw.text((left_px, top_px - 22), f"{value} %", fill=_INK, font=_font(14))
        draw.text((left_px, bottom_px + 10), f"week {number + 1}", fill=_GREY, font=_font(14))


def _type(draw: ImageDraw.ImageDraw, lines: Sequence[str], view: _View) -> None:
    """Draw the first `view.typed` letters of the lines, and the caret after them."""
    remaining, font = view.typed, _font(TEXT_PX)
    for number, line in enumerate(lines, WRITTEN_LINES):
        text, remaining = line[:remaining], remaining - len(line)
        at_px = (MARGIN_PX, _line_top_px(number))
        draw.text(at_px, text, fill=_INK, font=font)
        if remaining <= 0:
            x_px = MARGIN_PX + int(draw.textlength(text, font)) + 1
            if view.caret:
                draw.rectangle((x_px, at_px[1], x_px + 1, at_px[1] + TEXT_PX + 2), fill=_INK)
            return


def _line_top_px(number: int) -> int:
    return BAR_PX + 14 + number * LINE_PX


@cache
def _font(side_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(side_px)
