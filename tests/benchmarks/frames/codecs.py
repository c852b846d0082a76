"""Sends pictures through real codecs, one at a time, as a screen share does."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Literal, Protocol, cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from room_agent.frames.i420 import Planes
from tests.support.screens import brightened, packed, through_jpeg

Codec = Literal["vp8", "h264", "jpeg", "clean"]

_FPS = 15
_ENCODERS = {"vp8": "libvpx", "h264": "libx264"}
_OPTIONS = {
    "vp8": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"},
    "h264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "rc-lookahead=0:threads=1:sliced-threads=0"},
}


class Transport(Protocol):
    """A connection that pictures pass; each comes out as the receiver decodes it."""

    def send(self, picture: Planes, *, key: bool = False) -> Planes:
        """Return the picture as received; `key` asks for a key frame, as a new viewer does."""
        ...


class CodecTransport:
    """An encoder and a decoder of a video codec at a bit rate; the rate control is the encoder's own."""

    def __init__(self, codec: Literal["vp8", "h264"], kbps: int, size_px: tuple[int, int]) -> None:
        self._size_px = size_px
        # Coders want even sides; an odd last row or column is repeated, as WebRTC does, and cut off again.
        self._coded_px = tuple(side + side % 2 for side in size_px)
        self._encoder = cast(VideoCodecContext, av.CodecContext.create(_ENCODERS[codec], "w"))
        self._encoder.width, self._encoder.height = self._coded_px
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.framerate, self._encoder.time_base = Fraction(_FPS), Fraction(1, _FPS)
        self._encoder.bit_rate = kbps * 1000
        self._encoder.thread_count = 1
        self._encoder.options = _OPTIONS[codec]
        self._decoder = av.CodecContext.create(codec, "r")
        self._decoder.thread_count = 1
        self._decoder.flags |= Flags.low_delay
        self._number = 0

    def send(self, picture: Planes, *, key: bool = False) -> Planes:
        width_px, height_px = self._coded_px
        rows = np.frombuffer(packed(_padded(picture, width_px, height_px)), np.uint8)
        frame = av.VideoFrame.from_ndarray(rows.reshape(height_px * 3 // 2, width_px), "yuv420p")
        frame.pts = self._number
        frame.pict_type = PictureType.I if key or self._number == 0 else PictureType.NONE
        self._number += 1
        decoded = [image for packet in self._encoder.encode(frame) for image in self._decoder.decode(packet)]
        if len(decoded) != 1:
            raise AssertionError(f"The codec returned {len(decoded)} pictures for one.")
        received = Planes.from_i420(decoded[0].to_ndarray().tobytes(), width_px, height_px)
        return _cut(received, *self._size_px)


class JpegTransport:
    """Pictures that are coded one by one, each at another quality and brightness: two encoders that take turns."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def send(self, picture: Planes, *, key: bool = False) -> Planes:
        return brightened(through_jpeg(picture, self._rng.randint(60, 90)), self._rng.randint(-2, 2))


class CleanTransport:
    """Pictures that arrive as they were, as a lossless or local source sends them."""

    def send(self, picture: Planes, *, key: bool = False) -> Planes:
        return picture


def transport(codec: Codec, kbps: int, size_px: tuple[int, int], rng: random.Random) -> Transport:
    """Return a new connection for pictures of one size."""
    if codec == "clean":
        return CleanTransport()
    if codec == "jpeg":
        return JpegTransport(rng)
    return CodecTransport(codec, kbps, size_px)


def any_transport(size_px: tuple[int, int], rng: random.Random) -> tuple[Transport, str]:
    """Return a connection of a codec and bit rate drawn as screen shares use them, and its name."""
    codec: Codec = rng.choices(("vp8", "h264", "jpeg", "clean"), weights=(55, 30, 8, 7))[0]
    kbps = rng.choice((900, 1200, 1800, 2500)) if codec == "vp8" else rng.choice((600, 1200, 2500))
    name = f"{codec} {kbps}" if codec in _ENCODERS else codec
    return transport(codec, kbps, size_px, rng), name


def half_size(planes: Planes) -> Planes:
    """Return the half-size simulcast layer of a picture: the mean of each two by two pixels, as encoders scale."""
    y, u, v = (_halved(plane) for plane in (planes.y, planes.u, planes.v))
    return Planes(y=y, u=u, v=v)


def _halved(plane: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    rows, columns = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    wide = plane[:rows, :columns].astype(np.uint16)
    total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)


def _padded(picture: Planes, width_px: int, height_px: int) -> Planes:
    if (picture.width_px, picture.height_px) == (width_px, height_px):
        return picture
    margin = ((0, height_px - picture.height_px), (0, width_px - picture.width_px))
    return Planes(y=np.pad(picture.y, margin, mode="edge"), u=picture.u, v=picture.v)


def _cut(picture: Planes, width_px: int, height_px: int) -> Planes:
    if (picture.width_px, picture.height_px) == (width_px, height_px):
        return picture
    return Planes(y=np.ascontiguousarray(picture.y[:height_px, :width_px]), u=picture.u, v=picture.v)
