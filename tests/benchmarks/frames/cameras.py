"""Cameras, whole-screen video and pictures of unusual sizes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw

from room_agent.frames.i420 import Planes
from tests.benchmarks.frames.codecs import transport
from tests.benchmarks.frames.edits import CHANGED
from tests.benchmarks.frames.layouts import scene
from tests.benchmarks.frames.scene import Size, photograph, to_planes
from tests.benchmarks.frames.sessions import SessionLook
from tests.benchmarks.frames.themes import StatusPalette

_CAMERA_SIZE = (1280, 720)
ODD_SIZES: tuple[Size, ...] = (
    (1367, 769),
    (853, 480),
    (1080, 1921),
    (3840, 2160),
    (5120, 1440),
    (2560, 1600),
    (640, 480),
    (1001, 333),
)

CameraImage = Callable[[float, random.Random], Image.Image]


def _room(at_s: float, rng: random.Random) -> Image.Image:
    return photograph(_CAMERA_SIZE, 3)


def _low_light(at_s: float, rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 9, (_CAMERA_SIZE[1], _CAMERA_SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(_room(at_s, rng)) * 0.3 + noise, 0, 255).astype(np.uint8))


def _shake(at_s: float, rng: random.Random) -> Image.Image:
    wide = photograph((_CAMERA_SIZE[0] + 40, _CAMERA_SIZE[1] + 40), 3)
    left, top = rng.randint(0, 40), rng.randint(0, 40)
    return wide.crop((left, top, left + _CAMERA_SIZE[0], top + _CAMERA_SIZE[1]))


def _person(at_s: float, rng: random.Random) -> Image.Image:
    image = _room(at_s, rng).copy()
    left = 500 + round(120 * math.sin(at_s * 0.9)) + rng.randint(-10, 10)
    draw = ImageDraw.Draw(image)
    draw.ellipse((left, 150, left + 190, 390), fill=(205, 170, 150))
    draw.rectangle((left - 90, 390, left + 280, 720), fill=(60, 70, 110))
    return image


def _exposure(at_s: float, rng: random.Random) -> Image.Image:
    gain = 1 + 0.1 * math.sin(at_s / 3)
    return Image.fromarray(np.clip(np.asarray(_room(at_s, rng)) * gain, 0, 255).astype(np.uint8))


def _film(at_s: float, rng: random.Random) -> Image.Image:
    wide = photograph((_CAMERA_SIZE[0] + 400, _CAMERA_SIZE[1]), 90 + int(at_s) // 3)
    left = round(at_s * 60) % 400
    return wide.crop((left, 0, left + _CAMERA_SIZE[0], _CAMERA_SIZE[1]))


CAMERAS: dict[str, CameraImage] = {
    "empty room": _room,
    "low light": _low_light,
    "hand-held": _shake,
    "person": _person,
    "auto exposure": _exposure,
    "whole-screen video": _film,
}


def looks(camera: str, seed: int, seconds: int) -> Iterator[SessionLook]:
    """Yield the looks at a camera. It shows no content that has to be seen."""
    rng = random.Random(f"{seed} {camera}")
    connection = transport("vp8", 1200, _CAMERA_SIZE, rng)
    for second in range(seconds):
        for part in range(2):
            received = connection.send(to_planes(CAMERAS[camera](second + part / 2, rng)))
        yield SessionLook(at_s=float(second), planes=received, content=())


def odd_looks(size_px: Size, seed: int, palettes: tuple[StatusPalette, ...]) -> tuple[list[Planes], list[Planes]]:
    """Return looks at a document of an odd size, before and after one of its words changes."""
    rng = random.Random(f"{seed} {size_px}")
    edited = None
    while edited is None:
        page = scene("code", rng, palettes, size_px=size_px, style="full screen", scale=1.0)
        edited = CHANGED["word"](page, rng)
    connection = transport("vp8", 2500, size_px, rng)
    before = [connection.send(page.planes()) for _ in range(6)]
    after = [connection.send(edited.planes()) for _ in range(8)]
    return before, after
