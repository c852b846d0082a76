"""Holds one decoded picture as its three I420 planes. Copies nothing it was not asked to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]

_QUARTER_TURNS = {0: 0, 90: -1, 180: 2, 270: 1}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planes:
    """Luma and the two chroma planes of a picture, limited range BT.601 as WebRTC delivers it.

    `y` is (height, width); `u` and `v` are half of that, rounded up. All uint8 and C-contiguous.
    """

    y: Plane
    u: Plane
    v: Plane

    @property
    def width_px(self) -> int:
        return int(self.y.shape[1])

    @property
    def height_px(self) -> int:
        return int(self.y.shape[0])

    @classmethod
    def from_i420(cls, data: memoryview | bytes | bytearray, width_px: int, height_px: int) -> Planes:
        """Return views into a tightly packed I420 buffer; they live as long as the buffer is not reused.

        Raises ValueError when a side is not positive or the buffer is too short.
        """
        chroma_width_px, chroma_height_px = (width_px + 1) // 2, (height_px + 1) // 2
        luma_bytes, chroma_bytes = width_px * height_px, chroma_width_px * chroma_height_px
        needed_bytes = luma_bytes + 2 * chroma_bytes
        flat = np.frombuffer(data, np.uint8)
        if min(width_px, height_px) < 1 or flat.size < needed_bytes:
            raise ValueError(
                f"An I420 picture of {width_px}x{height_px} needs {needed_bytes} bytes, the buffer has {flat.size}."
            )
        y, chroma = flat[:luma_bytes], flat[luma_bytes:needed_bytes]
        u, v = chroma[:chroma_bytes], chroma[chroma_bytes:]
        chroma_shape = (chroma_height_px, chroma_width_px)
        return cls(y=y.reshape(height_px, width_px), u=u.reshape(chroma_shape), v=v.reshape(chroma_shape))

    def copied(self) -> Planes:
        """Return the same picture in memory of its own."""
        return Planes(y=self.y.copy(), u=self.u.copy(), v=self.v.copy())


def rotated(planes: Planes, degrees: int) -> Planes:
    """Return the picture turned clockwise by a frame's `rotation` of 0, 90, 180 or 270, so that it stands upright.

    Raises ValueError for any other angle.
    """
    if degrees not in _QUARTER_TURNS:
        raise ValueError(f"A frame's rotation must be 0, 90, 180 or 270 degrees, not {degrees}.")
    if degrees == 0:
        return planes
    y, u, v = (
        np.ascontiguousarray(np.rot90(plane, _QUARTER_TURNS[degrees])) for plane in (planes.y, planes.u, planes.v)
    )
    return Planes(y=y, u=u, v=v)


def fitted(width_px: int, height_px: int, long_side_px: int) -> tuple[int, int]:
    """Return the size in even pixels, the longer side at most `long_side_px`."""
    scale = min(long_side_px / max(width_px, height_px), 1.0)
    return max(2 * round(width_px * scale / 2), 2), max(2 * round(height_px * scale / 2), 2)
