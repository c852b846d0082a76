"""Planes are views into their buffer, and odd sizes round their chroma up."""

import numpy as np
import pytest
from livekit import rtc

from room_agent.frames.i420 import Planes, rotated
from tests.support.screens import Desktop, copied, packed, photo


def test_planes_share_the_buffer_they_were_made_from() -> None:
    buffer = packed(photo((64, 48)))
    planes = Planes.from_i420(buffer, 64, 48)
    buffer[0] ^= 0xFF
    buffer[64 * 48] ^= 0xFF
    assert (planes.y[0, 0], planes.u[0, 0]) == (buffer[0], buffer[64 * 48])
    assert (planes.width_px, planes.height_px) == (64, 48)


@pytest.mark.parametrize("size", [(64, 48), (65, 48), (64, 49), (641, 361), (1, 1)])
def test_planes_of_every_size_round_trip(size: tuple[int, int]) -> None:
    picture = photo(size)
    planes = Planes.from_i420(packed(picture), *size)
    assert planes.u.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
    for plane, original in zip((planes.y, planes.u, planes.v), (picture.y, picture.u, picture.v), strict=True):
        assert plane.flags.c_contiguous and np.array_equal(plane, original)


def test_a_livekit_frame_is_read_without_a_copy() -> None:
    frame = rtc.VideoFrame(641, 361, rtc.VideoBufferType.I420, packed(photo((641, 361))))
    planes = Planes.from_i420(frame.data, frame.width, frame.height)
    assert np.shares_memory(planes.v, np.frombuffer(frame.data, np.uint8))
    assert np.array_equal(planes.v, photo((641, 361)).v)


def test_a_buffer_may_be_longer_than_the_picture() -> None:
    picture = photo((64, 48))
    planes = Planes.from_i420(bytes(packed(picture)) + b"\0" * 100, 64, 48)
    assert np.array_equal(planes.v, picture.v)


def test_a_short_buffer_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="65x49 needs 4835 bytes, the buffer has 4834"):
        Planes.from_i420(bytes(4834), 65, 49)


@pytest.mark.parametrize("size", [(0, 48), (64, 0), (-64, -48)])
def test_a_picture_without_area_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}"):
        Planes.from_i420(bytes(10_000), *size)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_rotation_is_clockwise(degrees: int, corner: tuple[int, int]) -> None:
    upright = copied(photo((64, 48)))
    upright.y[:] = upright.u[:] = upright.v[:] = 0
    upright.y[0, 0] = upright.u[0, 0] = upright.v[0, 0] = 255
    result = rotated(upright, degrees)
    for plane in (result.y, result.u, result.v):
        assert plane[corner] == 255 and plane.sum() == 255 and plane.flags.c_contiguous


def test_four_rotations_by_90_degrees_restore_the_picture() -> None:
    result = start = Desktop(size=(641, 361)).planes()
    for _ in range(4):
        result = rotated(result, 90)
    assert np.array_equal(result.y, start.y) and np.array_equal(result.u, start.u)
    assert rotated(start, 0) is start


def test_any_other_angle_is_refused() -> None:
    with pytest.raises(ValueError, match="not 45"):
        rotated(photo((64, 48)), 45)
