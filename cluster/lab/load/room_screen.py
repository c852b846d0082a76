"""The screen of a synthetic room, filtered by the agent's frame gate: recorded, or drawn on demand."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from cluster.lab.scenario.recorded_screens import SCREEN_PX, TRACK, RecordedScreens
from cluster.lab.scenario.synthetic_screens import ScreenScript, Script
from room_agent.core.models import KeptFrame
from room_agent.frames.i420 import Planes
from room_agent.video.frame_gate import FrameGate, pack_frame


class RoomScreen(Protocol):
    """One room's shared screen, filtered by the agent's frame gate."""

    async def capture(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        """Return the frame of a moment, or None if it shows nothing new."""

    def forget(self) -> None:
        """Treat the next frame as new, because the last kept one was not delivered."""


class ReplayedScreen:
    """A recorded screen: its frames passed gate and encoder when they were recorded, so a capture is cheap."""

    def __init__(self, recordings: RecordedScreens, recording: int, starts_at: int) -> None:
        self._recordings = recordings
        self._recording = recording
        self._starts_at = starts_at
        # The first frame is always new to an agent that has just joined.
        self._resend = True

    async def capture(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        recordings = self._recordings
        sample = recordings.sample(self._starts_at, round(since_join_s * recordings.samples_per_second))
        if not self._resend and not recordings.kept[self._recording, sample]:
            return None
        self._resend = False
        frame = int(recordings.frame[self._recording, sample])
        why = recordings.reasons[int(recordings.why[self._recording, sample])]
        headers = recordings.headers(frame, wall_s)
        return KeptFrame(jpeg=recordings.jpegs[frame], headers=headers, why=why, captured_at_s=wall_s)

    def forget(self) -> None:
        self._resend = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRenderer:
    """The script and the executor that the drawn screens of one process share."""

    script: Script
    long_side_px: int
    executor: Executor


class DrawnScreen:
    """A screen that is drawn, filtered and encoded at each capture by the room agent's own functions."""

    def __init__(self, renderer: ScreenRenderer, recording: int, starts_at: int) -> None:
        self._renderer = renderer
        self._starts_at = starts_at
        self._script = ScreenScript(recording, *SCREEN_PX, renderer.script)
        self._gate = FrameGate()

    async def capture(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._renderer.executor, self._capture, since_join_s, wall_s)

    def forget(self) -> None:
        self._gate.forget()

    def _capture(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        planes = Planes.from_i420(self._script.i420(self._starts_at + since_join_s), *SCREEN_PX)
        decision = self._gate.offer(planes, since_join_s)
        if not decision.keep:
            return None
        return pack_frame(planes, decision, TRACK, "screen_share", self._renderer.long_side_px, wall_s)
