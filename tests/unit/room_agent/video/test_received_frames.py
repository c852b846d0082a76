"""Frames of every format become upright I420 planes; those that hold no usable picture are refused."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import pytest
from livekit import rtc
from PIL import Image
from structlog.testing import capture_logs

from room_agent.core.counters import Counters
from room_agent.frames.i420 import Planes
from room_agent.video.received_frames import UnreadableFrame, UnreadableFrames, planes_of, upright
from tests.support.screens import packed, photo, rgb_of

SIZE = (322, 182)
FORMATS = {
    rtc.VideoBufferType.RGBA: "rgba",
    rtc.VideoBufferType.ABGR: "abgr",
    rtc.VideoBufferType.ARGB: "argb",
    rtc.VideoBufferType.BGRA: "bgra",
    rtc.VideoBufferType.RGB24: "rgb24",
    rtc.VideoBufferType.I422: "yuv422p",
    rtc.VideoBufferType.I444: "yuv444p",
    rtc.VideoBufferType.I010: "yuv420p10le",
    rtc.VideoBufferType.NV12: "nv12",
}


def buffer_of(picture: Image.Image, name: str) -> bytes:
    """Return a picture as tightly packed bytes of one of FFmpeg's formats."""
    frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24").reformat(format=name)
    sample_bytes = 2 if name == "yuv420p10le" else 1
    width, half = picture.width, (picture.width + 1) // 2
    packed_bytes = {"rgb24": 3 * width, "nv12": width}.get(name, 4 * width)
    out = b""
    for number, plane in enumerate(frame.planes):
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
        columns = half if number and name in ("yuv422p", "yuv420p10le") else width
        line_bytes = columns * sample_bytes if name.startswith("yuv") else packed_bytes
        out += lines[:, :line_bytes].tobytes()
    return out


def event_of(frame: rtc.VideoFrame, rotation: int = rtc.VideoRotation.VIDEO_ROTATION_0) -> rtc.VideoFrameEvent:
    return rtc.VideoFrameEvent(frame=frame, timestamp_us=0, rotation=cast(Any, rotation))


def i420(planes: Planes) -> rtc.VideoFrame:
    return rtc.VideoFrame(planes.width_px, planes.height_px, rtc.VideoBufferType.I420, packed(planes))


@pytest.mark.parametrize("kind", FORMATS, ids=FORMATS.values())
def test_every_format_of_livekit_keeps_its_colours(kind: rtc.VideoBufferType.ValueType) -> None:
    picture = rgb_of(photo(SIZE))
    planes = planes_of(rtc.VideoFrame(*SIZE, kind, buffer_of(picture, FORMATS[kind])))
    differs = np.abs(np.asarray(rgb_of(planes), np.int16) - np.asarray(picture, np.int16))
    assert float(differs.mean()) < 2.0


def test_the_alpha_plane_of_i420a_is_ignored() -> None:
    planes = photo(SIZE)
    frame = rtc.VideoFrame(*SIZE, rtc.VideoBufferType.I420A, packed(planes) + bytes(SIZE[0] * SIZE[1]))
    assert np.array_equal(planes_of(frame).v, planes.v)


@pytest.mark.parametrize("kind", [rtc.VideoBufferType.I420, *FORMATS], ids=["i420", *FORMATS.values()])
def test_a_short_buffer_is_unreadable(kind: rtc.VideoBufferType.ValueType) -> None:
    with pytest.raises(UnreadableFrame, match="buffer too short"):
        upright(event_of(rtc.VideoFrame(640, 360, kind, bytes(1_000))))


@pytest.mark.parametrize("kind", [rtc.VideoBufferType.I420, *FORMATS], ids=["i420", *FORMATS.values()])
def test_a_buffer_with_padded_lines_is_unreadable(kind: rtc.VideoBufferType.ValueType) -> None:
    with pytest.raises(UnreadableFrame, match="lines padded"):
        upright(event_of(rtc.VideoFrame(64, 64, kind, bytes(4 * 96 * 64))))


@pytest.mark.parametrize("size", [(16_386, 16), (16_384, 16_384), (0, 5)])
def test_a_size_out_of_range_is_unreadable(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableFrame, match="size out of range"):
        upright(event_of(rtc.VideoFrame(*size, rtc.VideoBufferType.I420, b"")))


@pytest.mark.parametrize("size", [(1_280, 1), (1, 720), (63, 64)])
def test_a_picture_with_a_side_too_short_to_show_text_is_unreadable(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableFrame, match="too small"):
        upright(event_of(i420(photo(size))))


def test_a_picture_16_384_pixels_wide_is_read() -> None:
    planes = photo((16_384, 64))
    assert upright(event_of(i420(planes))).width_px == 16_384


def test_an_unknown_rotation_or_format_is_unreadable() -> None:
    frame = i420(photo(SIZE))
    with pytest.raises(UnreadableFrame, match="rotation unknown"):
        upright(event_of(frame, rotation=9))
    with pytest.raises(UnreadableFrame, match="format unknown"):
        upright(event_of(rtc.VideoFrame(*SIZE, cast(Any, 77), packed(photo(SIZE)))))


def test_a_rotated_frame_stands_upright() -> None:
    assert upright(event_of(i420(photo(SIZE)), rtc.VideoRotation.VIDEO_ROTATION_90)).width_px == SIZE[1]


@pytest.mark.parametrize("rows", [slice(0, None), slice(60, None)], ids=["whole", "lower part"])
def test_a_picture_that_was_not_decoded_whole_is_unreadable(rows: slice) -> None:
    planes = photo(SIZE)
    torn = Planes(y=planes.y.copy(), u=planes.u.copy(), v=planes.v.copy())
    torn.y[2 * rows.start :], torn.u[rows], torn.v[rows] = 0, 0, 0
    with pytest.raises(UnreadableFrame, match="not decoded"):
        upright(event_of(i420(torn)))


@pytest.mark.parametrize("colour", [(0, 255, 0), (0, 128, 0), (0, 255, 255), (255, 255, 0)])
def test_a_green_page_is_no_damage(colour: tuple[int, int, int]) -> None:
    frame = rtc.VideoFrame(*SIZE, rtc.VideoBufferType.RGB24, bytes(colour) * (SIZE[0] * SIZE[1]))
    assert upright(event_of(frame)).width_px == SIZE[0]


def test_unreadable_frames_are_counted_and_each_reason_is_logged_once() -> None:
    counters = Counters()
    unreadable = UnreadableFrames("TR_1", counters)
    with capture_logs() as logs:
        for reason in ("buffer too short", "buffer too short", "size out of range"):
            unreadable.add(reason)
    assert counters.frames_unreadable == 3
    assert [(entry["event"], entry["reason"], entry["track"]) for entry in logs] == [
        ("frame unreadable", "buffer too short", "TR_1"),
        ("frame unreadable", "size out of range", "TR_1"),
    ]
