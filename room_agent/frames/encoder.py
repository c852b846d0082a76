"""Encodes planes as a small JPEG without a detour through RGB."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import simplejpeg

from room_agent.frames.i420 import FullRangeScaler, Planes, fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A JPEG and its size in pixels."""

    jpeg: bytes = field(repr=False)
    width_px: int
    height_px: int


def encode(planes: Planes, *, long_side_px: int = 1024, quality: int = 80) -> Encoded:
    """Return `planes` as a JPEG of even sides, the longer one at most `long_side_px`. A picture is never enlarged.

    A picture that fits already loses an odd last row or column instead of its sharpness.
    Raises ValueError for a long side under 2 or a quality outside 1..100.
    """
    if long_side_px < 2 or not 1 <= quality <= 100:
        raise ValueError(
            f"A JPEG needs a long side of 2 pixels or more and a quality of 1 to 100, not {long_side_px} and {quality}."
        )
    if max(planes.width_px, planes.height_px) <= long_side_px:
        planes = _even(planes)
    width_px, height_px = fitted(planes.width_px, planes.height_px, long_side_px // 2 * 2)
    small = _thread.scaler(planes, width_px, height_px)
    jpeg = simplejpeg.encode_jpeg_yuv_planes(small.y, small.u, small.v, quality=quality)
    return Encoded(jpeg=jpeg, width_px=width_px, height_px=height_px)


def _even(planes: Planes) -> Planes:
    """Return the picture without an odd last row or column."""
    rows, columns = max(planes.height_px // 2, 1), max(planes.width_px // 2, 1)
    return Planes(y=planes.y[: 2 * rows, : 2 * columns], u=planes.u[:rows, :columns], v=planes.v[:rows, :columns])


class _EncodeThread(threading.local):
    """The scaler of each encoding thread: FFmpeg's scaler is not thread-safe."""

    def __init__(self) -> None:
        self.scaler = FullRangeScaler()


_thread = _EncodeThread()
