"""The installed livekit-rtc still has the names by which its native library is spoken to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from livekit import rtc

from room_agent.audio.tracks import audio_stream
from room_agent.video.newest_frame import NewestFrame

TIMEOUT_S = 60.0
# The first stream starts the native media runtime, which logs some twenty debug records.
SCRIPT = """
import asyncio, logging, sys
from livekit import rtc
from room_agent.host.process_tuning import stop_native_logs

records = []
handler = logging.Handler()
handler.emit = records.append
logging.getLogger("livekit").addHandler(handler)
logging.getLogger("livekit").setLevel(logging.DEBUG)
if sys.argv[1] == "stopped":
    assert stop_native_logs()

async def main():
    source = rtc.VideoSource(64, 64)
    stream = rtc.VideoStream(rtc.LocalVideoTrack.create_video_track("track", source), capacity=1)
    source.capture_frame(rtc.VideoFrame(64, 64, rtc.VideoBufferType.I420, bytes(64 * 96)))
    async for event in stream:
        break
    # The library sends its records once a second.
    await asyncio.sleep(1.2)
    await stream.aclose()

asyncio.run(main())
print(sum("libwebrtc" in record.getMessage() for record in records))
"""


@pytest.mark.parametrize(("mode", "arrive"), [("as shipped", True), ("stopped", False)])
def test_the_native_log_records_can_be_kept_out_of_python(mode: str, arrive: bool) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env={"LIVEKIT_RTC_DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr
    assert (int(result.stdout) > 0) == arrive


def i420(luma: int, size_px: int = 128) -> rtc.VideoFrame:
    pixels = bytes([luma]) * size_px**2 + bytes([128]) * (size_px**2 // 2)
    return rtc.VideoFrame(size_px, size_px, rtc.VideoBufferType.I420, pixels)


async def wait_for_luma(stream: NewestFrame, luma: int) -> None:
    """Wait for a picture of this brightness: the library drops frames that come faster than they are taken."""
    async with asyncio.timeout(TIMEOUT_S):
        while stream.newest is None or stream.newest.frame.data[0] != luma:
            await stream.next(stream.newest)


async def test_the_newest_frame_of_a_track_is_held_and_copied_when_it_is_looked_at() -> None:
    source = rtc.VideoSource(128, 128)
    track = rtc.LocalVideoTrack.create_video_track("track", source)
    stream, other = NewestFrame(track), NewestFrame(track)
    for luma in (40, 80, 200):
        source.capture_frame(i420(luma))
        await wait_for_luma(stream, luma)
    await wait_for_luma(other, 200)
    assert stream.received >= 3
    seen = stream.newest
    assert seen is not None and seen.frame is seen.frame
    assert (seen.frame.width, seen.frame.height, seen.frame.data[0]) == (128, 128, 200)
    # A frame of eight pixels, as at the end of a track, is no picture.
    source.capture_frame(i420(100, size_px=8))
    source.capture_frame(i420(60))
    await wait_for_luma(stream, 60)
    assert seen.frame.data[0] == 200
    await stream.aclose()
    assert stream.ended and not other.ended
    await other.aclose()
    await source.aclose()


async def test_a_microphones_stream_receives_no_frames_of_other_microphones(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [rtc.AudioSource(48_000, 1, queue_size_ms=100) for _ in range(2)]
    tracks = [rtc.LocalAudioTrack.create_audio_track("microphone", source) for source in sources]
    streams = [audio_stream(track) for track in tracks]
    received: list[set[int]] = [set(), set()]
    for stream, handles in zip(streams, received, strict=True):

        def record(event: Any, put: Callable[[Any], None], handles: set[int]) -> None:
            handles.add(event.audio_stream_event.stream_handle)
            put(event)

        put = partial(record, put=stream._ffi_queue.put_nowait, handles=handles)
        monkeypatch.setattr(stream._ffi_queue, "put_nowait", put)
    async with asyncio.timeout(TIMEOUT_S):
        for stream in streams * 3:
            await anext(stream)
    assert received == [{stream._ffi_handle.handle} for stream in streams]
    for stream, source in zip(streams, sources, strict=True):
        await stream.aclose()
        await source.aclose()
