"""The participants of a measured room: they share a scripted screen and hold microphones open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from livekit import rtc

from cluster.lab.scenario.synthetic_screens import ScreenScript
from tests.support.livekit_server import LiveKit
from tests.support.participant import Participant, connected

RATE_HZ, CHUNK = 48_000, 960
NOISE = 40.0
"""The level of an open microphone in a quiet room, in 16-bit steps: high enough that Opus sends every packet."""
MAX_BITS_PER_SECOND = 2_500_000
MIN_LIMIT_FPS = 5.0
"""livekit-rtc divides a simulcast share's limit by whole numbers, and by zero where the limit is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingMode:
    """What the participants of a room publish. Without `size_px` nobody shares."""

    name: str
    size_px: tuple[int, int] | None = None
    fps: float = 0.0
    simulcast: bool = False
    still: bool = False
    microphones: int = 0


@asynccontextmanager
async def meeting(livekit: LiveKit, room: str, mode: MeetingMode) -> AsyncIterator[None]:
    """Hold a meeting in `room` until the block ends."""
    async with connected(Participant(options=rtc.RoomOptions(auto_subscribe=False)), livekit, room, "ann") as ann:
        if mode.size_px is not None:
            await _share(ann, mode, mode.size_px)
        for number in range(mode.microphones):
            await _open_microphone(ann, f"microphone {number}")
        yield


async def _share(ann: Participant, mode: MeetingMode, size_px: tuple[int, int]) -> None:
    source = rtc.VideoSource(*size_px, is_screencast=True)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_SCREENSHARE,
        simulcast=mode.simulcast,
        video_encoding=rtc.VideoEncoding(max_bitrate=MAX_BITS_PER_SECOND, max_framerate=max(mode.fps, MIN_LIMIT_FPS)),
    )
    track = rtc.LocalVideoTrack.create_video_track("screen", source)
    await ann.room.local_participant.publish_track(track, options)
    ann.start_task(_paint(source, mode, size_px))


async def _paint(source: rtc.VideoSource, mode: MeetingMode, size_px: tuple[int, int]) -> None:
    script, started_s = ScreenScript(1, *size_px), time.monotonic()
    frames = 0
    while True:
        at_s = time.monotonic() - started_s
        picture = script.i420(0.0 if mode.still else at_s)
        source.capture_frame(rtc.VideoFrame(*size_px, rtc.VideoBufferType.I420, picture))
        frames = max(frames + 1, int(at_s * mode.fps))
        await asyncio.sleep(max(0.0, started_s + frames / mode.fps - time.monotonic()))


async def _open_microphone(ann: Participant, name: str) -> None:
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track(name, source)
    await ann.publish(name, track, rtc.TrackSource.SOURCE_MICROPHONE)
    ann.start_task(_hiss(source))


async def _hiss(source: rtc.AudioSource) -> None:
    noise = (np.random.default_rng(1).normal(0.0, NOISE, CHUNK * 50)).astype(np.int16)
    while True:
        for chunk in noise.reshape(50, CHUNK):
            # This waits while more than a tenth of a second is queued, and so keeps real time.
            await source.capture_frame(rtc.AudioFrame(chunk.tobytes(), RATE_HZ, 1, CHUNK))
