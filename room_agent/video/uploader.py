"""Makes a kept frame ready to send: its JPEG, and the headers that say what was measured of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from room_agent.core.counters import Counters
from room_agent.core.router_client import Description, RouterClient, RouterError, TokenExpired
from room_agent.frames.encoder import encode
from room_agent.frames.features import features
from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.video.frame_gate import GateDecision
from room_agent.video.rate_control import RateControl
from room_agent.video.selection import Source

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """A frame on its way: its JPEG, its headers, and why it was kept."""

    jpeg: bytes = field(repr=False)
    headers: Mapping[str, str]
    why: str
    captured_at_s: float

    @property
    def track(self) -> str:
        return self.headers["x-frame-track"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedFrame:
    """A frame and what the router said of it."""

    frame: KeptFrame
    answer: Description
    took_s: float


OnDescribed = Callable[[DescribedFrame], Awaitable[None]]


class FrameUploader:
    """One track's slot of one frame. A newer frame takes the place of one that still waits."""

    def __init__(
        self,
        router: RouterClient,
        pace: RateControl,
        counters: Counters,
        on_described: OnDescribed,
        on_lost: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._router = router
        self._pace = pace
        self._counters = counters
        self._on_described = on_described
        self._on_lost = on_lost
        self._clock = clock
        self._slot: KeptFrame | None = None
        self._filled = asyncio.Event()
        self._ended = False

    def offer(self, frame: KeptFrame) -> None:
        """Put a frame in the slot; what was in it is shed."""
        if self._slot is not None:
            self._counters.frames_shed += 1
        self._slot = frame
        self._filled.set()

    def end(self) -> None:
        """Let `run` return once the frames that it has are answered."""
        self._ended = True
        self._filled.set()

    async def run(self) -> None:
        """Send until the end, or until cancelled."""
        while True:
            await self._filled.wait()
            frame, self._slot = self._slot, None
            if frame is None and self._ended:
                return
            if not self._ended:
                self._filled.clear()
            if frame is None:
                continue
            if self._pace.open(self._clock()):
                await self._send(frame)
            else:
                self._lose()

    async def _send(self, frame: KeptFrame) -> None:
        started_s = self._clock()
        try:
            answer = await self._describe(frame)
        except RouterError as error:
            self._pace.refused(self._clock(), error.retry_after_s)
            self._lose()
            log.warning("frame not answered", error=type(error).__name__, detail=error.message, fps=self._pace.fps)
            return
        took_s = self._clock() - started_s
        self._pace.answered(took_s)
        self._counters.answered(took_s)
        await self._on_described(DescribedFrame(frame=frame, answer=answer, took_s=took_s))

    async def _describe(self, frame: KeptFrame) -> Description:
        try:
            return await self._router.describe(frame.jpeg, frame.headers)
        except TokenExpired:
            await self._router.open()
            return await self._router.describe(frame.jpeg, frame.headers)

    def _lose(self) -> None:
        """Count the frame as shed; the next one of its track must be taken as new, for nobody has seen this one."""
        self._counters.frames_shed += 1
        self._on_lost()


def packed(
    planes: Planes, decision: GateDecision, track_sid: str, source: Source, long_side_px: int, captured_at_s: float
) -> KeptFrame:
    """Return a frame that the gate keeps, as the router is sent it."""
    measured = features(planes, decision.judgement)
    headers = {
        "x-frame-captured-at": f"{captured_at_s:.3f}",
        "x-frame-track": track_sid,
        "x-frame-source": source,
        "x-frame-phash": f"{phash(planes):016x}",
        "x-frame-text-density": f"{measured.text_density:.4f}",
        "x-frame-edge-energy": f"{measured.edge_energy:.4f}",
        "x-frame-changed-share": f"{measured.changed_share:.4f}",
        "x-frame-novelty": f"{measured.novelty:.4f}",
    }
    jpeg = encode(planes, long_side_px=long_side_px).jpeg
    return KeptFrame(jpeg=jpeg, headers=headers, why=decision.why, captured_at_s=captured_at_s)
