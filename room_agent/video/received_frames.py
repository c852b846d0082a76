"""Turns frames, as LiveKit delivers them, into upright planes, and counts those that cannot be read."""

from __future__ import annotations

from typing import cast

import av
import numpy as np
import structlog
from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.frames.damage import is_damaged
from room_agent.frames.i420 import Plane, Planes, rotated
from room_agent.video.newest_frame import DecodedFrame

MAX_SIDE_PX = 16_384
"""The longest side that libwebrtc's encoders take."""
MAX_PX = 7_680 * 4_320
"""The pixels of an 8K screen; a square frame of the longest side would need 400 MB."""
MIN_SIDE_PX = 64
"""A picture with a shorter side shows nothing that can be read."""

_DEGREES: dict[int, int] = {
    rtc.VideoRotation.VIDEO_ROTATION_0: 0,
    rtc.VideoRotation.VIDEO_ROTATION_90: 90,
    rtc.VideoRotation.VIDEO_ROTATION_180: 180,
    rtc.VideoRotation.VIDEO_ROTATION_270: 270,
}
# FFmpeg's names. LiveKit's own conversion aborts the process for ABGR and I010 in 1.1.21, so it is never used.
_PACKED: dict[int, str] = {
    rtc.VideoBufferType.RGBA: "rgba",
    rtc.VideoBufferType.ABGR: "abgr",
    rtc.VideoBufferType.ARGB: "argb",
    rtc.VideoBufferType.BGRA: "bgra",
    rtc.VideoBufferType.RGB24: "rgb24",
}
_PLANAR: dict[int, str] = {
    rtc.VideoBufferType.I422: "yuv422p",
    rtc.VideoBufferType.I444: "yuv444p",
    rtc.VideoBufferType.I010: "yuv420p10le",
    rtc.VideoBufferType.NV12: "nv12",
}

_PADDED = "lines padded"
"""LiveKit's SDK asks for lines without padding, and its frames do not say how long their lines are."""

log = structlog.get_logger()


class UnreadableFrame(Exception):
    """A frame that shows no usable picture; its message is the reason, a fixed phrase."""


class UnreadableFrames:
    """The unreadable frames of one track: each is counted, each reason is logged once."""

    def __init__(self, track_sid: str, counters: Counters) -> None:
        self._track_sid = track_sid
        self._counters = counters
        self._logged: set[str] = set()

    def add(self, reason: str) -> None:
        """Count one more; `reason` is a fixed phrase."""
        self._counters.frames_unreadable += 1
        if reason not in self._logged:
            self._logged.add(reason)
            log.warning("frame unreadable", track=self._track_sid, reason=reason)


def upright(event: DecodedFrame) -> Planes:
    """Return a frame's planes, turned by its rotation. Raises UnreadableFrame for a frame without a usable picture.

    LiveKit's SDK names no colour space (1.1.21), so a frame in HDR cannot be recognized: it is read as BT.601 is, paler
    than it was shown.
    """
    degrees = _DEGREES.get(cast(int, event.rotation))
    if degrees is None:
        raise UnreadableFrame("rotation unknown")
    try:
        planes = planes_of(event.frame)
    except (ValueError, OSError) as error:
        # FFmpeg's errors and numpy's are of these types.
        raise UnreadableFrame("buffer too short" if isinstance(error, ValueError) else "conversion failed") from None
    if min(planes.y.shape) < MIN_SIDE_PX:
        raise UnreadableFrame("picture too small")
    if is_damaged(planes):
        raise UnreadableFrame("parts were not decoded")
    return rotated(planes, degrees)


def planes_of(frame: rtc.VideoFrame) -> Planes:
    """Return a frame's planes: views of an I420 frame, as decoders deliver it, and a converted copy of any other.

    Raises UnreadableFrame for a size or format that cannot be read, ValueError for a buffer that is too short.
    """
    width_px, height_px, kind = frame.width, frame.height, cast(int, frame.type)
    longest_px = max(width_px, height_px)
    if min(width_px, height_px) < 1 or longest_px > MAX_SIDE_PX or width_px * height_px > MAX_PX:
        raise UnreadableFrame("size out of range")
    # The alpha plane of I420A stands last, so that the first three are those of I420.
    if kind in (rtc.VideoBufferType.I420, rtc.VideoBufferType.I420A):
        planes = Planes.from_i420(frame.data, width_px, height_px)
        if kind == rtc.VideoBufferType.I420 and frame.data.nbytes > planes.y.nbytes + 2 * planes.u.nbytes:
            raise UnreadableFrame(_PADDED)
        return planes
    if kind not in _PACKED and kind not in _PLANAR:
        raise UnreadableFrame("format unknown")
    source = av.VideoFrame(width_px, height_px, _PACKED.get(kind) or _PLANAR[kind])
    _fill(source, np.frombuffer(frame.data, np.uint8))
    return _to_i420(source)


def _fill(source: av.VideoFrame, data: Plane) -> None:
    """Copy tightly packed lines into a frame of FFmpeg, whose lines may be longer."""
    start = 0
    for plane, line_bytes in zip(source.planes, _line_bytes(source), strict=True):
        end = start + plane.height * line_bytes
        if end > data.size:
            raise UnreadableFrame("buffer too short")
        lines: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        lines[: plane.height, :line_bytes] = data[start:end].reshape(plane.height, line_bytes)
        start = end
    if data.size > start:
        raise UnreadableFrame(_PADDED)


def _line_bytes(source: av.VideoFrame) -> list[int]:
    width, half = source.width, (source.width + 1) // 2
    return {
        "rgb24": [3 * width],
        "yuv422p": [width, half, half],
        "yuv444p": [width, width, width],
        "yuv420p10le": [2 * width, 2 * half, 2 * half],
        "nv12": [width, 2 * half],
    }.get(source.format.name, [4 * width])


def _to_i420(source: av.VideoFrame) -> Planes:
    converted = source.reformat(format="yuv420p", interpolation="AREA", dst_color_range="MPEG")
    y, u, v = (
        np.ascontiguousarray(
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        )
        for plane in converted.planes
    )
    return Planes(y=y, u=u, v=v)
