"""Sends one track's kept frames to the router, the newest first, and emits an event for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
from cachetools import FIFOCache

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack
from room_agent.core.router_client import Description, RouterClient
from room_agent.core.router_errors import RouterAway, RouterError, TokenExpired
from room_agent.video.events import FrameEvents
from room_agent.video.frame_request import ScreenDescription, frame_body, superseding
from room_agent.video.rate_control import RateControl
from routing.telemetry.current_request import new_request
from routing.telemetry.tracing import task_span

log = structlog.get_logger()


T = TypeVar("T")

MAX_DESCRIPTIONS = 64
"""The descriptions of a track that can be used again; the gate remembers fewer pictures."""


class UploadSlot(Generic[T]):
    """The place of the one frame that waits while another is in flight. A newer frame replaces it."""

    def __init__(self) -> None:
        self._frame: T | None = None
        self._changed = asyncio.Event()
        self._ended = False

    def offer(self, frame: T) -> T | None:
        """Put a frame in; return the frame that it replaces."""
        replaced, self._frame = self._frame, frame
        self._changed.set()
        return replaced

    def take(self) -> T | None:
        """Empty the slot; return the frame that waited."""
        frame, self._frame = self._frame, None
        return frame

    def end(self) -> None:
        """Let `next` return None once the slot is empty."""
        self._ended = True
        self._changed.set()

    async def next(self) -> T | None:
        """Wait for a frame and take it; return None after the end."""
        while (frame := self.take()) is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return frame


class FrameUploader:
    """Sends one track's frames, one at a time. A frame that shows what an earlier one showed takes its description.

    `on_lost` is called for each frame that the router did not describe. `clock` is monotonic.
    """

    def __init__(
        self,
        track: SharedTrack,
        router: RouterClient,
        rate: RateControl,
        counters: Counters,
        events: FrameEvents,
        on_lost: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._track = track
        self._router = router
        self._rate = rate
        self._counters = counters
        self._events = events
        self._on_lost = on_lost
        self._clock = clock
        self._slot = UploadSlot[KeptFrame]()
        self._screen = ScreenDescription()
        self._described: FIFOCache[int, Description] = FIFOCache(MAX_DESCRIPTIONS)

    def offer(self, frame: KeptFrame) -> None:
        """Emit FrameKept and put the frame in the slot; a frame still in it is shed."""
        self._events.emit_kept(FrameKept(track=self._track, frame=frame))
        unsent = self._slot.take()
        if unsent is not None:
            # No `on_lost`: the frame in its place shows the same track, later.
            self._counters.frames_shed += 1
            frame = superseding(frame, unsent)
        self._slot.offer(frame)

    def end(self) -> None:
        """Let `run` return once the frames offered so far are answered."""
        self._slot.end()

    async def run(self) -> None:
        """Send frames until `end`, or until cancelled."""
        while (frame := await self._slot.next()) is not None:
            if frame.known is not None:
                known = FrameDescribed(track=self._track, frame=frame, answer=frame.known, took_s=0.0)
                await self._events.emit_described(known)
            elif (earlier := self._known(frame)) is not None:
                await self._reuse(frame, earlier)
            elif self._rate.open(self._clock()):
                await self._send(frame)
            else:
                self._lose()

    async def _send(self, frame: KeptFrame) -> None:
        with new_request() as request, task_span("frame") as span:
            span.set(
                rayroom__frame__source=str(self._track.source),
                rayroom__frame__why=frame.why,
                rayroom__request_id=request.request_id,
            )
            await self._send_traced(frame)

    async def _send_traced(self, frame: KeptFrame) -> None:
        started_s, previous = self._clock(), self._screen.previous(frame)
        try:
            answer = await self._describe(frame, previous)
        except RouterError as error:
            self._slow_down(error)
            self._lose()
            log.warning(
                "frame not answered",
                track=self._track.sid,
                error=type(error).__name__,
                detail=error.message,
                fps=self._rate.fps,
            )
            return
        took_s = self._clock() - started_s
        self._rate.answered(took_s)
        self._counters.answered(took_s)
        whole = self._screen.add(previous, answer.description)
        # A frame that was seen before bears the key of the first one from then on.
        key = frame.key if frame.same_as is None else frame.same_as
        self._described[key] = answer.model_copy(update={"description": whole})
        await self._events.emit_described(
            FrameDescribed(track=self._track, frame=frame, answer=answer, took_s=took_s, whole=whole)
        )

    def _slow_down(self, error: RouterError) -> None:
        # A proxy before a router that is gone answers with a status above 500 and without a Retry-After.
        is_outage = isinstance(error, RouterAway) or (error.http_status or 0) > 500
        if is_outage and error.retry_after_s is None:
            self._rate.unanswered()
        else:
            self._rate.refused(self._clock(), error.retry_after_s)

    def _known(self, frame: KeptFrame) -> Description | None:
        """Return the description of an earlier frame that shows the same, unless that frame was not described."""
        return None if frame.same_as is None else self._described.get(frame.same_as)

    async def _reuse(self, frame: KeptFrame, known: Description) -> None:
        self._counters.frames_reused += 1
        answer = known.model_copy(update={"cost_nanousd": 0})
        self._screen.add("", answer.description)
        await self._events.emit_described(
            FrameDescribed(track=self._track, frame=frame, answer=answer, took_s=0.0, reused=True)
        )

    async def _describe(self, frame: KeptFrame, previous: str) -> Description:
        body, sharer = frame_body(frame, previous), self._track.identity
        try:
            return await self._router.describe(frame.jpeg, frame.headers, body, sharer)
        except TokenExpired:
            await self._router.open()
            return await self._router.describe(frame.jpeg, frame.headers, body, sharer)

    def _lose(self) -> None:
        """Count the frame as shed. The track's next frame must be kept again, because nothing described this one."""
        self._counters.frames_shed += 1
        self._on_lost()
