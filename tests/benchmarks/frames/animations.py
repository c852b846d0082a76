"""Eighteen kinds of motion beside a document in which a line is added every half minute."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from PIL import Image, ImageDraw

from tests.benchmarks.frames.codecs import transport
from tests.benchmarks.frames.draft import sentence
from tests.benchmarks.frames.edits import line_added
from tests.benchmarks.frames.layouts import scene
from tests.benchmarks.frames.scene import RenderedScene, photograph, to_planes
from tests.benchmarks.frames.sessions import SessionLook
from tests.benchmarks.frames.themes import THEMES, StatusPalette, font

LINE_EVERY_S = 30
_SIZE = (1920, 1080)
_FIRST_LINE_S = 20
_BLUE, _GREY, _INK = (26, 115, 232), (150, 150, 150), (60, 60, 60)

DrawMotion = Callable[[Image.Image, ImageDraw.ImageDraw, float], None]


def _spinner(side: int) -> DrawMotion:
    def draw_at(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
        turn = int(at_s * 400) % 360
        draw.arc((1500, 300, 1500 + side, 300 + side), turn, turn + 100, fill=_BLUE, width=max(side // 8, 2))

    return draw_at


def _typing_dots(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    for dot in range(3):
        top = 600 - round(6 * max(math.sin(at_s * 6 - dot), 0))
        draw.ellipse((1500 + 14 * dot, top, 1508 + 14 * dot, top + 8), fill=_GREY)


def _recording_dot(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    if at_s * 0.8 % 1 < 0.5:
        draw.ellipse((1500, 60, 1518, 78), fill=(220, 40, 40))


def _stopwatch(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    text = f"{int(at_s) // 60:02}:{int(at_s) % 60:02}.{int(at_s * 10) % 10}"
    draw.text((1480, 500), text, fill=_INK, font=font("mono", 22))


def _progress_bar(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    draw.rectangle((1400, 700, 1800, 712), fill=(210, 210, 210))
    draw.rectangle((1400, 700, 1400 + round(at_s / 150 * 400), 712), fill=_BLUE)
    draw.text((1810, 696), f"{at_s / 1.5:.0f}%", fill=_INK, font=font("sans", 14))


def _ticker(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    draw.rectangle((1250, 900, 1900, 930), fill=(40, 40, 60))
    strip = Image.new("RGB", (650, 30), (40, 40, 60))
    text = "   ".join(sentence(random.Random(7), 4) for _ in range(6))
    ImageDraw.Draw(strip).text((650 - round(at_s * 90) % 1800, 6), text, fill=(255, 255, 255), font=font("sans", 15))
    image.paste(strip, (1250, 900))


def _sound_wave(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    for bar in range(40):
        height = round(4 + 40 * abs(math.sin(at_s * 5 + bar * 1.7)) * abs(math.sin(bar + at_s)))
        draw.rectangle((1400 + 8 * bar, 820 - height, 1404 + 8 * bar, 820 + height), fill=_BLUE)


def _htop(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    rng = random.Random(int(at_s))
    draw.rectangle((1250, 60, 1900, 560), fill=(16, 16, 16))
    for row in range(22):
        text = f"{1000 + row * 37:>6} user {rng.random() * 99:5.1f} {rng.random() * 20:4.1f} worker-{row}"
        draw.text((1262, 70 + 22 * row), text, fill=(90, 220, 90), font=font("mono", 14))


def _shimmer(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    light = round(30 * (0.5 + 0.5 * math.sin(at_s * 4)))
    for row in range(6):
        draw.rectangle((1300, 200 + 50 * row, 1850, 230 + 50 * row), fill=(200 + light,) * 3)


def _filmstrip(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    for number in range(4):
        image.paste(photograph((150, 90), int(at_s * 2) + number), (1260 + 158 * number, 940))


def _webcam_bubble(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    face = photograph((200, 200), 5).rotate(4 * math.sin(at_s * 2), translate=(round(9 * math.sin(at_s * 3)), 0))
    mask = Image.new("L", (200, 200))
    ImageDraw.Draw(mask).ellipse((0, 0, 199, 199), fill=255)
    image.paste(face, (1680, 840), mask)


def _advertisement(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    image.paste(photograph((300, 250), 40 + int(at_s / 1.5)), (1560, 120))
    draw.text(
        (1580, 340), ("Buy now", "Only today", "Half price")[int(at_s) % 3], fill=(255, 255, 255), font=font("bold", 24)
    )


def _video(width: int, height: int, left: int, top: int) -> DrawMotion:
    def draw_at(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
        still = photograph((width + 200, height), 60 + int(at_s) // 4)
        shift = round(at_s * 45) % 200
        image.paste(still.crop((shift, 0, shift + width, height)), (left, top))

    return draw_at


def _log_tail(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    draw.rectangle((1250, 600, 1900, 1000), fill=(20, 20, 28))
    for row in range(17):
        line = int(at_s * 2) + row
        text = f"{line:06} {sentence(random.Random(line), 5)}"
        draw.text((1260, 606 + 23 * row), text, fill=(210, 210, 210), font=font("mono", 13))


def _live_chart(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    draw.rectangle((1280, 200, 1880, 480), fill=(250, 250, 250), outline=_GREY)
    step = int(at_s)
    points = [
        (1280 + 10 * x, 340 + round(100 * math.sin((x + step) / 5) * math.sin((x + step) / 17))) for x in range(61)
    ]
    draw.line(points, fill=_BLUE, width=2)


def _countdown_ring(image: Image.Image, draw: ImageDraw.ImageDraw, at_s: float) -> None:
    draw.arc((1500, 400, 1580, 480), -90, -90 + round(360 * (at_s % 60) / 60), fill=_BLUE, width=6)
    draw.text((1524, 428), f"{60 - int(at_s) % 60}", fill=_INK, font=font("bold", 20))


MOTIONS: dict[str, DrawMotion] = {
    "spinner 20 px": _spinner(20),
    "spinner 44 px": _spinner(44),
    "typing dots": _typing_dots,
    "recording dot": _recording_dot,
    "stopwatch": _stopwatch,
    "progress bar": _progress_bar,
    "ticker": _ticker,
    "sound wave": _sound_wave,
    "htop": _htop,
    "shimmer": _shimmer,
    "filmstrip": _filmstrip,
    "webcam bubble": _webcam_bubble,
    "advertisement": _advertisement,
    "video 640 px": _video(640, 360, 1250, 100),
    "video 1,180 px": _video(1180, 664, 720, 60),
    "log": _log_tail,
    "live chart": _live_chart,
    "countdown ring": _countdown_ring,
}
"""The kinds of motion, but for a whole-screen video, which `cameras` has."""


def document(palettes: tuple[StatusPalette, ...], rng: random.Random) -> RenderedScene:
    """Return the document beside which the motion runs: its left half, with room below for new lines."""
    page = scene("document", rng, palettes, size_px=_SIZE, theme=THEMES[0], style="task bar", scale=1.0)
    lines = page.texts("line")
    kept = [
        replace(element, at_px=(80, element.at_px[1]), text=" ".join(element.text.split()[:8]))
        for element in lines[: len(lines) * 2 // 3]
    ]
    return page.with_elements((*kept, *page.shapes("bar"), *page.texts("bar")))


def looks(motion: str, seed: int, palettes: tuple[StatusPalette, ...], seconds: int) -> Iterator[SessionLook]:
    """Yield the looks at a document beside one kind of motion; the content is the document's alone."""
    rng = random.Random(f"{seed} {motion}")
    page = document(palettes, rng)
    connection = transport("vp8", 1800, _SIZE, rng)
    for second in range(seconds):
        if second % LINE_EVERY_S == _FIRST_LINE_S:
            page = line_added(page, rng) or page
        for part in range(2):
            image = page.image()
            MOTIONS[motion](image, ImageDraw.Draw(image), second + part / 2)
            received = connection.send(to_planes(image))
        yield SessionLook(at_s=float(second), planes=received, content=page.elements)


def line_latencies(contents: Sequence[object], known: Sequence[bool]) -> list[float | None]:
    """Return, for each line added, the seconds until a look with it was sent; None where none was."""
    latencies: list[float | None] = []
    for index in range(1, len(contents)):
        if contents[index] != contents[index - 1]:
            end = next((at for at in range(index, len(contents)) if contents[at] != contents[index]), len(contents))
            sent_at = next((at for at in range(index, end) if known[at]), None)
            latencies.append(None if sent_at is None else float(sent_at - index))
    return latencies
