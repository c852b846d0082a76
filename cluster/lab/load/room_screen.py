"""Show a synthetic room its screen, as seen through its agent's gate: recorded, or drawn now."""

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
    """One room's shared screen, seen through its agent's gate."""

    async def look(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        """Return the frame of a moment, or None where it shows nothing new."""

    def forget(self) -> None:
        """Take the next frame as new: the last kept one reached nobody."""


class ReplayedScreen:
    """A recorded screen: its frames passed the gate and the encoder when it was drawn, so looking costs nothing."""

    def __init__(self, takes: RecordedScreens, take: int, starts_at: int) -> None:
        self._takes = takes
        self._take = take
        self._starts_at = starts_at
        # The first frame is always new to an agent that has just joined.
        self._lost = True

    async def look(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        takes = self._takes
        sample = takes.sample(self._starts_at, round(since_join_s * takes.samples_per_second))
        if not self._lost and not takes.kept[self._take, sample]:
            return None
        self._lost = False
        frame = int(takes.frame[self._take, sample])
        why = takes.reasons[int(takes.why[self._take, sample])]
        headers = takes.headers(frame, wall_s)
        return KeptFrame(jpeg=takes.jpegs[frame], headers=headers, why=why, captured_at_s=wall_s)

    def forget(self) -> None:
        self._lost = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRenderer:
    """The script and the executor that the drawn screens of one process share."""

    script: Script
    long_side_px: int
    executor: Executor


class DrawnScreen:
    """A screen that is drawn, judged and encoded as it is looked at, by the room agent's own functions."""

    def __init__(self, drawing: ScreenRenderer, take: int, starts_at: int) -> None:
        self._drawing = drawing
        self._starts_at = starts_at
        self._script = ScreenScript(take, *SCREEN_PX, drawing.script)
        self._gate = FrameGate()

    async def look(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._drawing.executor, self._look, since_join_s, wall_s)

    def forget(self) -> None:
        self._gate.forget()

    def _look(self, since_join_s: float, wall_s: float) -> KeptFrame | None:
        planes = Planes.from_i420(self._script.i420(self._starts_at + since_join_s), *SCREEN_PX)
        decision = self._gate.offer(planes, since_join_s)
        if not decision.keep:
            return None
        return pack_frame(planes, decision, TRACK, "screen_share", self._drawing.long_side_px, wall_s)
