"""Questions and drawn slides for the emulator's engines."""

from __future__ import annotations

import secrets
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator.engines.ocr import OcrEngine
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes

RATE_HZ = 16_000
QUESTIONS = (
    "Rayroom, what number is on the slide?",
    "What number was on the slide before this one?",
    "What is the budget of project falcon?",
    "How many people work in the London office?",
    "What is the code of the meeting room?",
    "Thank you very much.",
    "Stop.",
)
GERMAN_QUESTION = "Welche Zahl steht auf der Folie?"


@cache
def ocr() -> OcrEngine:
    return OcrEngine()


def number() -> str:
    """Return a random number of five digits."""
    return str(10_000 + secrets.randbelow(90_000))


def slide(text: str, long_side_px: int = 1_024) -> bytes:
    """Return a slide as the room agent sends it: I420 of limited range, scaled and encoded."""
    image = Image.new("YCbCr", (1_280, 720), (235, 128, 128))
    pen = ImageDraw.Draw(image)
    pen.text((120, 60), "Quarterly review", fill=(16, 128, 128), font=ImageFont.load_default(50))
    pen.text((120, 240), text, fill=(16, 128, 128), font=ImageFont.load_default(200))
    y, u, v = (np.asarray(plane) for plane in image.split())
    planes = Planes(y=y, u=np.ascontiguousarray(u[::2, ::2]), v=np.ascontiguousarray(v[::2, ::2]))
    return encode(planes, long_side_px=long_side_px).jpeg
