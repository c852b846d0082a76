"""Makes planes smaller with FFmpeg's area filter, which averages exactly. Knows no picture but the one in its hands."""

from __future__ import annotations

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from room_agent.frames.i420 import Plane, Planes


class LumaScaler:
    """Averages luma down to one size; for one thread at a time. FFmpeg's tables stay while the pictures' size does."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        self._reformatter = VideoReformatter()

    def __call__(self, luma: Plane) -> Plane:
        """Return `luma` at this scaler's size, in memory of its own."""
        source = av.VideoFrame.from_numpy_buffer(luma, "gray")
        scaled = self._reformatter.reformat(source, *self._size, "gray", interpolation="AREA", threads=1)
        return _pixels(scaled.planes[0]) if scaled is not source else luma.copy()


class FullRangeScaler:
    """Scales all planes and stretches video's 16..235 to the 0..255 that JPEG means; for one thread at a time."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._source = av.VideoFrame(2, 2, "yuv420p")

    def __call__(self, planes: Planes, width_px: int, height_px: int) -> Planes:
        """Return `planes` at an even size, in memory of their own."""
        if (self._source.width, self._source.height) != (planes.width_px, planes.height_px):
            self._source = av.VideoFrame(planes.width_px, planes.height_px, "yuv420p")
        for target, plane in zip(self._source.planes, (planes.y, planes.u, planes.v), strict=True):
            _pixels(target)[:] = plane
        scaled = self._reformatter.reformat(
            self._source,
            width_px,
            height_px,
            "yuv420p",
            interpolation="AREA",
            src_color_range="MPEG",
            dst_color_range="JPEG",
            threads=1,
        )
        y, u, v = (np.ascontiguousarray(_pixels(plane)) for plane in scaled.planes)
        return Planes(y=y, u=u, v=v)


def _pixels(plane: VideoPlane) -> Plane:
    """Return a view of a plane's memory without the padding at the end of its lines."""
    lines: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]
