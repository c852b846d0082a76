"""Draw small desktops, and convert them to the I420 planes that WebRTC delivers."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType
from PIL import Image, ImageDraw, ImageFont

from room_agent.frames.i420 import Planes

Size = tuple[int, int]
Point = tuple[int, int]

LINE_PX = 22
TEXT_LEFT_PX, TEXT_TOP_PX = 190, 70
_POINTER = ((0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (6, 11), (11, 11))
_WORDS = "the room agent keeps a frame when text has changed and drops every repeat before it costs a token".split()


def copied(planes: Planes) -> Planes:
    """Return a picture in memory of its own, which a test may change."""
    return Planes(y=planes.y.copy(), u=planes.u.copy(), v=planes.v.copy())


def prose(lines: int, seed: int = 1, words: int = 9) -> tuple[str, ...]:
    """Return `lines` lines of text, always the same for a seed."""
    rng = random.Random(seed)
    return tuple(" ".join(rng.choices(_WORDS, k=words)) for _ in range(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desktop:
    """An editor window with a sidebar, a title bar and a task bar."""

    lines: tuple[str, ...] = prose(18)
    pointer: Point | None = (700, 400)
    caret: Point | None = None
    clock: str = "10:41"
    dialog: str | None = None
    dark: bool = False
    size: Size = (1280, 720)

    def with_changes(self, **changes: object) -> Desktop:
        """Return this desktop with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def image(self) -> Image.Image:
        """Return the desktop as an RGB picture."""
        paper, ink, chrome = ((30, 30, 30), (212, 212, 212), (60, 60, 66)) if self.dark else _LIGHT
        width_px, height_px = self.size
        image = Image.new("RGB", self.size, paper)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, width_px, 40), fill=chrome)
        draw.rectangle((0, 40, 160, height_px), fill=chrome)
        draw.rectangle((0, height_px - 40, width_px, height_px), fill=chrome)
        draw.text((14, 10), "notes.txt - Editor", fill=ink, font=_font(15))
        for row, name in enumerate(("inbox", "drafts", "agenda", "budget", "people")):
            draw.text((16, 60 + 30 * row), name, fill=ink, font=_font(14))
        for row, line in enumerate(self.lines):
            draw.text((TEXT_LEFT_PX, TEXT_TOP_PX + LINE_PX * row), line, fill=ink, font=_font(15))
        draw.text((width_px - 60, height_px - 30), self.clock, fill=ink, font=_font(14))
        if self.caret:
            draw.rectangle((*self.caret, self.caret[0] + 1, self.caret[1] + 17), fill=ink)
        if self.dialog:
            _draw_dialog(draw, self.dialog, self.size)
        if self.pointer:
            _draw_pointer(draw, self.pointer)
        return image

    def planes(self) -> Planes:
        """Return the desktop as read-only I420 planes, which are cached."""
        return _drawn(self)


@lru_cache(maxsize=48)
def _drawn(desktop: Desktop) -> Planes:
    planes = planes_of(desktop.image())
    for plane in (planes.y, planes.u, planes.v):
        plane.flags.writeable = False
    return planes


def slide(title: str, bullets: tuple[str, ...], size: Size = (1280, 720)) -> Planes:
    """Return a presentation's slide."""
    image = Image.new("RGB", size, (250, 248, 240))
    draw = ImageDraw.Draw(image)
    draw.text((80, 60), title, fill=(20, 40, 90), font=_font(54))
    for row, bullet in enumerate(bullets):
        draw.text((110, 190 + 70 * row), "- " + bullet, fill=(40, 40, 40), font=_font(32))
    return planes_of(image)


def photo(size: Size = (1280, 720), seed: int = 7) -> Planes:
    """Return a smooth picture without text or edges."""
    coarse = np.random.default_rng(seed).integers(60, 190, (9, 16, 3), dtype=np.uint8)
    return planes_of(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def planes_of(image: Image.Image) -> Planes:
    """Return an RGB picture as limited range BT.601 I420; odd sides round the chroma up."""
    channels = [np.ascontiguousarray(channel) for channel in np.moveaxis(np.asarray(image), 2, 0)]
    quarters = [_summed_by_four(channel) for channel in channels]
    return Planes(
        y=_weighted(channels, (65.481, 128.553, 24.966), 16, 255),
        u=_weighted(quarters, (-37.797, -74.203, 112.0), 128, 4 * 255),
        v=_weighted(quarters, (112.0, -93.786, -18.214), 128, 4 * 255),
    )


def rgb_of(planes: Planes) -> Image.Image:
    """Return limited range planes as RGB, computed in floating point: the reference for the encoder."""
    height_px, width_px = planes.y.shape
    luma = (planes.y.astype(np.float32) - 16) * (255 / 219)
    blue, red = (
        (plane.repeat(2, 0).repeat(2, 1)[:height_px, :width_px].astype(np.float32) - 128) * (255 / 224)
        for plane in (planes.u, planes.v)
    )
    rgb = np.stack((luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue), axis=2)
    return Image.fromarray(np.rint(rgb).clip(0, 255).astype(np.uint8))


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures of one size; a JPEG of a text screen has 25 to 35 dB."""
    error = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def packed(planes: Planes) -> bytearray:
    """Return the planes as one I420 buffer."""
    return bytearray(planes.y.tobytes() + planes.u.tobytes() + planes.v.tobytes())


def through_jpeg(planes: Planes, quality: int) -> Planes:
    """Return the picture after a JPEG encoding of each plane as grey, without a colour conversion."""
    y, u, v = (_recoded(plane, quality) for plane in (planes.y, planes.u, planes.v))
    return Planes(y=y, u=u, v=v)


def through_vp8(pictures: list[Planes], kbps: int) -> list[Planes]:
    """Return the pictures after VP8 coding at 15 FPS, with a key frame in the middle."""
    width_px, height_px = pictures[0].width_px, pictures[0].height_px
    encoder, decoder = av.CodecContext.create("libvpx", "w"), av.CodecContext.create("vp8", "r")
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
    encoder.framerate, encoder.bit_rate, encoder.time_base = Fraction(15), kbps * 1000, Fraction(1, 15)
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    packets = []
    for number, picture in enumerate(pictures):
        pixels = np.frombuffer(packed(picture), np.uint8).reshape(height_px * 3 // 2, width_px)
        frame = av.VideoFrame.from_ndarray(pixels, "yuv420p")
        frame.pts = number
        frame.pict_type = PictureType.I if number == len(pictures) // 2 else PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [Planes.from_i420(frame.to_ndarray().tobytes(), width_px, height_px) for frame in decoded]


def brightened(planes: Planes, luma: int) -> Planes:
    """Return the picture with `luma` added to the brightness of every pixel."""
    return Planes(y=np.clip(planes.y.astype(np.int16) + luma, 0, 255).astype(np.uint8), u=planes.u, v=planes.v)


_LIGHT = ((255, 255, 255), (24, 24, 24), (222, 226, 232))


def _font(side_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(side_px)


def _draw_pointer(draw: ImageDraw.ImageDraw, at: Point) -> None:
    draw.polygon([(at[0] + x, at[1] + y) for x, y in _POINTER], fill=(0, 0, 0), outline=(255, 255, 255))


def _draw_dialog(draw: ImageDraw.ImageDraw, text: str, size: Size) -> None:
    left, top = size[0] // 2 - 170, size[1] // 2 - 70
    draw.rectangle((left, top, left + 340, top + 140), fill=(245, 245, 245), outline=(90, 90, 90), width=2)
    draw.text((left + 24, top + 30), text, fill=(10, 10, 10), font=_font(16))
    draw.rectangle((left + 230, top + 95, left + 316, top + 124), fill=(40, 110, 220))
    draw.text((left + 262, top + 100), "OK", fill=(255, 255, 255), font=_font(15))


def _summed_by_four(channel: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Return the sum of each four pixels that share one value of chroma."""
    height, width = channel.shape
    even = np.pad(channel.astype(np.uint16), ((0, height % 2), (0, width % 2)), mode="edge")
    rows = even[0::2] + even[1::2]
    summed: npt.NDArray[np.uint16] = rows[:, 0::2] + rows[:, 1::2]
    return summed


def _weighted(
    channels: Sequence[npt.NDArray[Any]], weights: Sequence[float], offset: float, divisor: float
) -> npt.NDArray[np.uint8]:
    """Return the weighted sum of the channels. It is computed in place, because tests draw thousands of pictures."""
    plane = np.full(channels[0].shape, offset, np.float32)
    for channel, weight in zip(channels, weights, strict=True):
        plane += channel * np.float32(weight / divisor)
    return np.rint(plane, out=plane).astype(np.uint8)


def _recoded(plane: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    coded = io.BytesIO()
    Image.fromarray(plane).save(coded, "JPEG", quality=quality)
    return np.array(Image.open(coded))
