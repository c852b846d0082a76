"""LiveKit's SDK delivers frames as `room_agent/video/received_frames` reads them."""

from __future__ import annotations

from livekit.rtc._proto import video_frame_pb2

from room_agent.video import received_frames


def fields(message: str) -> set[str]:
    return set(video_frame_pb2.DESCRIPTOR.message_types_by_name[message].fields_by_name)


def test_a_frame_has_a_rotation_and_no_colour_space() -> None:
    # With a colour space, frames in HDR could be recognised and converted.
    assert fields("VideoFrameReceived") == {"buffer", "timestamp_us", "rotation", "metadata"}
    assert fields("VideoBufferInfo") == {"type", "width", "height", "data_ptr", "stride", "components"}
    assert fields("FrameMetadata") == {"user_timestamp", "frame_id", "user_data"}


def test_every_format_of_the_sdk_is_read() -> None:
    planar = {video_frame_pb2.VideoBufferType.I420, video_frame_pb2.VideoBufferType.I420A}
    read = {*received_frames._PACKED, *received_frames._PLANAR} | planar
    assert set(video_frame_pb2.VideoBufferType.values()) == read
