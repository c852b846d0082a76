"""Says when the next frame of a track is due. Knows no track; the clock comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog
from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.frames.i420 import Planes, rotated
from room_agent.video.frame_gate import FrameGate
from room_agent.video.rate_control import RateControl
from room_agent.video.selection import Source
from room_agent.video.uploader import FrameUploader, KeptFrame, packed

log = structlog.get_logger()

MIN_SIDE_PX = 64
"""Frames with a shorter side are no picture: LiveKit delivers one of 8x8 when a track ends."""


class SampleClock:
    """Takes `fps` samples a second of a stream that is offered more often.

    The beat is kept: a sample that comes late by less than half a period does not move the next one. After a
    longer gap (a mute, a stall) the beat starts anew, so two samples are never closer than half a period.
    """

    def __init__(self, fps: float) -> None:
        self._next_s: float | None = None
        self._period_s = _period_s(fps)

    @property
    def fps(self) -> float:
        return 1.0 / self._period_s

    @fps.setter
    def fps(self, fps: float) -> None:
        period_s = _period_s(fps)
        if self._next_s is not None:
            self._next_s += period_s - self._period_s
        self._period_s = period_s

    def due(self, now_s: float) -> bool:
        """Return whether the frame at `now_s` is to be taken; if so, the next one is a period later."""
        if now_s < self.next_due_s(now_s):
            return False
        beat_s = now_s if self._next_s is None else self._next_s
        late = now_s - beat_s >= self._period_s / 2
        self._next_s = (now_s if late else beat_s) + self._period_s
        return True

    def next_due_s(self, now_s: float) -> float:
        """Return when the next sample is due; `now_s` if that is now or was missed."""
        return now_s if self._next_s is None else max(now_s, self._next_s)


def _period_s(fps: float) -> float:
    if not fps > 0:
        raise ValueError(f"A sampling rate must be above 0 frames a second, not {fps}.")
    return 1.0 / fps


# The longest a frame may take to come once one is due; a still screen repeats its frame every second.
FRAME_TIMEOUT_S = 30.0

_DEGREES: dict[int, int] = {
    rtc.VideoRotation.VIDEO_ROTATION_0: 0,
    rtc.VideoRotation.VIDEO_ROTATION_90: 90,
    rtc.VideoRotation.VIDEO_ROTATION_180: 180,
    rtc.VideoRotation.VIDEO_ROTATION_270: 270,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledTrack:
    """What a watch is of: the track's id, what it shows, and the size that its pictures are sent in."""

    track_sid: str
    source: Source
    long_side_px: int


class TrackSampler:
    """One track, from its first frame to its end."""

    def __init__(
        self,
        watched: SampledTrack,
        gate: FrameGate,
        pace: RateControl,
        forwarder: FrameUploader,
        on_kept: Callable[[KeptFrame], None],
        counters: Counters,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._watched = watched
        self._gate = gate
        self._pace = pace
        self._forwarder = forwarder
        self._on_kept = on_kept
        self._counters = counters
        self._clock = clock
        self._wall_clock = wall_clock
        self._sampler = SampleClock(pace.fps)

    async def run(self, track: rtc.Track) -> None:
        """Watch until the track ends, or until cancelled."""
        # With room for one frame the stream holds the newest; without a bound, 1080p30 grows by 90 MB a second.
        stream = rtc.VideoStream.from_track(track=track, capacity=1)
        try:
            async for event in stream:
                await self._look(event)
                await asyncio.sleep(max(0.0, self._sampler.next_due_s(self._clock()) - self._clock()))
        finally:
            async with asyncio.timeout(FRAME_TIMEOUT_S):
                await stream.aclose()

    async def _look(self, event: rtc.VideoFrameEvent) -> None:
        now_s = self._clock()
        self._sampler.fps = self._pace.fps
        if min(event.frame.width, event.frame.height) < MIN_SIDE_PX or not self._sampler.due(now_s):
            return
        self._counters.frames_seen += 1
        # The pixels are worked on in a thread: a stall of the loop would be heard in the room.
        frame = await asyncio.to_thread(self._decide, event, now_s)
        if frame is None:
            self._counters.frames_repeated += 1
            return
        self._counters.frames_kept += 1
        self._on_kept(frame)
        self._forwarder.offer(frame)

    def _decide(self, event: rtc.VideoFrameEvent, now_s: float) -> KeptFrame | None:
        """Return the frame ready to send, or None when it shows nothing new."""
        planes = rotated(planes_of(event.frame), _DEGREES[cast(int, event.rotation)])
        decision = self._gate.offer(planes, now_s)
        if not decision.keep:
            return None
        watched = self._watched
        return packed(planes, decision, watched.track_sid, watched.source, watched.long_side_px, self._wall_clock())


def planes_of(frame: rtc.VideoFrame) -> Planes:
    """Return a frame's planes: views of an I420 frame, as decoders deliver it, a converted copy of any other."""
    if frame.type != rtc.VideoBufferType.I420:
        frame = frame.convert(rtc.VideoBufferType.I420)
    return Planes.from_i420(frame.data, frame.width, frame.height)
