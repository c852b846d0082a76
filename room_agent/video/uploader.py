"""Sends one track's kept frames to the router, the newest first, and emits an event for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack
from room_agent.core.router_client import Description, RouterClient
from room_agent.core.router_errors import RouterError, TokenExpired
from room_agent.video.events import FrameEvents
from room_agent.video.rate_control import RateControl

log = structlog.get_logger()


class FrameUploader:
    """One track's slot for one frame. A newer frame replaces one that still waits.

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
        self._slot: KeptFrame | None = None
        self._filled = asyncio.Event()
        self._ended = False

    def offer(self, frame: KeptFrame) -> None:
        """Emit FrameKept and put the frame in the slot; a frame still in it is shed."""
        self._events.emit_kept(FrameKept(track=self._track, frame=frame))
        if self._slot is not None:
            # No `on_lost`: the frame in its place shows the same track, later.
            self._counters.frames_shed += 1
        self._slot = frame
        self._filled.set()

    def end(self) -> None:
        """Let `run` return once the frames offered so far are answered."""
        self._ended = True
        self._filled.set()

    async def run(self) -> None:
        """Send frames until `end`, or until cancelled."""
        while True:
            await self._filled.wait()
            frame, self._slot = self._slot, None
            if frame is None and self._ended:
                return
            # After the end the event stays set, so that the next pass returns.
            if not self._ended:
                self._filled.clear()
            if frame is None:
                continue
            if self._rate.open(self._clock()):
                await self._send(frame)
            else:
                self._lose()

    async def _send(self, frame: KeptFrame) -> None:
        started_s = self._clock()
        try:
            answer = await self._describe(frame)
        except RouterError as error:
            self._rate.refused(self._clock(), error.retry_after_s)
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
        await self._events.emit_described(FrameDescribed(track=self._track, frame=frame, answer=answer, took_s=took_s))

    async def _describe(self, frame: KeptFrame) -> Description:
        try:
            return await self._router.describe(frame.jpeg, frame.headers)
        except TokenExpired:
            await self._router.open()
            return await self._router.describe(frame.jpeg, frame.headers)

    def _lose(self) -> None:
        """Count the frame as shed. The track's next frame must be kept again, because nothing described this one."""
        self._counters.frames_shed += 1
        self._on_lost()
