"""Samples one video track: takes frames at the present rate and uploads those that the gate keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.core.models import KeptFrame, SharedTrack
from room_agent.frames.i420 import Planes
from room_agent.frames.verdict import Judgement, Verdict
from room_agent.video.black_screen import BLACK, BLACK_WHY, BlackScreen
from room_agent.video.frame_gate import FrameGate, GateDecision, pack_frame
from room_agent.video.newest_frame import DecodedFrame, NewestFrame
from room_agent.video.rate_control import RateControl
from room_agent.video.received_frames import UnreadableFrame, UnreadableFrames, upright
from room_agent.video.uploader import FrameUploader
from room_agent.video.view_encoder import ViewEncoder, with_parts

CLOSE_TIMEOUT_S = 30.0
LONGEST_SLEEP_S = 1.0


class SampleClock:
    """Takes `fps` samples a second of a stream that delivers more.

    The beat is kept: a sample that comes late by less than half a period does not move the next one. After a longer
    gap (a mute, a stall) the beat starts anew, so two samples are never closer than half a period.
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
        # The next sample moves too: a raised rate must not wait for the end of the old, longer period.
        if self._next_s is not None:
            self._next_s += period_s - self._period_s
        self._period_s = period_s

    def due(self, now_s: float) -> bool:
        """Return whether to take the frame at `now_s`; if so, the next one is due a period later."""
        if now_s < self.next_due_s(now_s):
            return False
        beat_s = now_s if self._next_s is None else self._next_s
        late = now_s - beat_s >= self._period_s / 2
        self._next_s = (now_s if late else beat_s) + self._period_s
        return True

    def next_due_s(self, now_s: float) -> float:
        """Return the time at which the next sample is due; `now_s` if that is now or was missed."""
        return now_s if self._next_s is None else max(now_s, self._next_s)


def _period_s(fps: float) -> float:
    # Not `fps <= 0`: NaN must be refused too.
    if not fps > 0:
        raise ValueError(f"A sampling rate must be above 0 frames a second, not {fps}.")
    return 1.0 / fps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPipeline:
    """The collaborators of one track, in the order in which a frame passes them."""

    track: SharedTrack
    rate: RateControl
    gate: FrameGate
    views: ViewEncoder
    uploader: FrameUploader


class TrackSampler:
    """The sampler of one track, from its first frame to its end. `clock` is monotonic."""

    def __init__(
        self,
        pipeline: TrackPipeline,
        counters: Counters,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._pipeline = pipeline
        self._counters = counters
        self._clock = clock
        self._wall_clock = wall_clock
        self.repeated_looks = 0
        """The newest frames looked at, in a row, that were sent though the picture was that of the frame before."""
        self._samples = SampleClock(pipeline.rate.fps)
        self._unreadable = UnreadableFrames(pipeline.track.sid, counters)
        self._black = BlackScreen()
        self._stream: NewestFrame | None = None
        self._looked_at: DecodedFrame | None = None
        self._kept: KeptFrame | None = None

    @property
    def received(self) -> int:
        """The frames received so far."""
        return 0 if self._stream is None else self._stream.received

    async def run(self, track: rtc.Track) -> None:
        """Sample until the track ends, or until cancelled."""
        self._stream = stream = NewestFrame(track)
        try:
            while await self._has_frame(stream):
                await self._sample(stream.newest)
                await self._until_due()
        finally:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await stream.aclose()

    async def current_frame(self, longest_px: int) -> KeptFrame | None:
        """Return the picture as it is now for a turn, readable as a whole if a long side of `longest_px` allows."""
        event = None if self._stream is None else self._stream.newest
        if event is None:
            return None
        try:
            return await asyncio.to_thread(self._packed_now, event, longest_px)
        except UnreadableFrame:
            return self._kept

    def frame_lost(self) -> None:
        """Look at the track again, because its last kept frame was not described: a publisher may send no other."""
        self._pipeline.gate.forget()
        if self._stream is not None:
            self._stream.wake()

    async def _has_frame(self, stream: NewestFrame) -> bool:
        """Wait for a frame to look at; return False at the end.

        While the gate waits for a change to settle, the frame at hand is looked at again: some publishers send one
        frame a change and then none.
        """
        while stream.newest is None or stream.newest is self._looked_at:
            if stream.ended:
                return False
            if stream.newest is not None and self._pipeline.gate.is_waiting:
                return True
            await stream.next(stream.newest)
        return True

    async def _until_due(self) -> None:
        """Sleep until the next sample is due; a rate that rises meanwhile brings it forward."""
        while (rest_s := self._samples.next_due_s(self._clock()) - self._clock()) > 0:
            await asyncio.sleep(min(rest_s, LONGEST_SLEEP_S))
            self._samples.fps = self._pipeline.rate.fps

    async def _sample(self, event: DecodedFrame | None) -> None:
        now_s = self._clock()
        self._samples.fps = self._pipeline.rate.fps
        if event is None or not self._samples.due(now_s):
            return
        again, self._looked_at = event is self._looked_at, event
        # The pixels are processed in a thread: a stall of the event loop would be audible in the room.
        try:
            frame = await asyncio.to_thread(self._kept_frame, event, now_s)
        except UnreadableFrame as error:
            self._unreadable.add(str(error))
            return
        finally:
            self._counters.look_ms += 1_000 * (self._clock() - now_s)
        if not again:
            self.repeated_looks = self.repeated_looks + 1 if self._pipeline.gate.is_unchanged else 0
        if frame is None:
            # A second look at one frame is no second frame.
            if not again:
                self._counters.saw_frame()
                self._counters.frames_repeated += 1
                self._counters.frames_muted += self._pipeline.gate.mutes
            self._pipeline.rate.repeated()
            return
        self._kept = frame
        self._counters.saw_frame()
        self._counters.frames_kept += 1
        self._pipeline.uploader.offer(frame)

    def _kept_frame(self, event: DecodedFrame, now_s: float) -> KeptFrame | None:
        """Return the frame ready to send, or None where it shows nothing new."""
        planes = upright(event)
        decision = self._pipeline.gate.offer(planes, now_s)
        if self._black.begins(decision.why == BLACK_WHY, now_s):
            # The picture that returns is to be described, though it may be the one of before.
            self._pipeline.gate.forget()
            return replace(self._whole(planes, decision), known=BLACK)
        return self._packed(planes, decision) if decision.keep else None

    def _packed(self, planes: Planes, decision: GateDecision) -> KeptFrame:
        """Return a frame with the pictures in which its changes can be read."""
        if decision.same_as is not None:
            # Its description is used again, as a rule without a request.
            return self._whole(planes, decision)
        views = self._pipeline.views.choose(planes, decision.judgement)
        # A question may be about the whole, so it is not the small one that stands beside parts.
        whole = self._whole(planes, decision, None if views.crops else views.whole_px)
        return with_parts(whole, planes, views)

    def _whole(self, planes: Planes, decision: GateDecision, long_side_px: int | None = None) -> KeptFrame:
        track, long_side_px = self._pipeline.track, long_side_px or self._pipeline.views.long_side_px
        return pack_frame(planes, decision, track.sid, track.source, long_side_px, self._wall_clock())

    def _packed_now(self, event: DecodedFrame, longest_px: int) -> KeptFrame:
        planes, judgement = upright(event), Judgement(verdict=Verdict.SAME, why="asked for")
        long_side_px = self._pipeline.views.turn_long_side_px(planes, longest_px)
        return self._whole(planes, GateDecision(keep=True, judgement=judgement), long_side_px)
