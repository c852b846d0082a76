"""Decides which sampled frames are worth sending. Knows no clock but the one it is handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from room_agent.frames.detector import ChangeDetector, ChangeSettings, Judgement, Verdict
from room_agent.frames.i420 import Planes
from room_agent.frames.verdict import LARGE_CELLS


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """When a frame that differs is sent.

    Waiting for two quiet samples halves what typing costs and loses nothing, because the reference stays the last
    kept frame; without `max_wait_s` a page that never rests would never be sent.
    """

    change: ChangeSettings = field(default_factory=ChangeSettings)
    large_cells: int = LARGE_CELLS
    quiet_samples: int = 2
    max_wait_s: float = 8.0
    maybe_samples: int = 3
    heartbeat_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """Whether to send a frame, why (a fixed phrase), and the judgement behind it."""

    keep: bool
    why: str
    judgement: Judgement


class FrameGate:
    """Judges the samples of one track in order; for one thread at a time."""

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = settings or GateSettings()
        self._kept = ChangeDetector(self.settings.change)
        self._resting = ChangeDetector(self.settings.change)
        self._kept_at_s = 0.0
        self._waiting_since_s: float | None = None
        self._quiet = 0
        self._maybes = 0
        self._lost = False

    def forget(self) -> None:
        """Take the next sample as new: the last kept one reached nobody. May be called from another thread."""
        self._lost = True

    def offer(self, planes: Planes, now_s: float) -> GateDecision:
        """Return whether `planes` is to be sent; if so it is what the next samples are compared with."""
        if self._lost:
            self._lost = False
            self._kept = ChangeDetector(self.settings.change)
        judgement = self._kept.judge(planes)
        keep, why = self._decide(judgement, planes, now_s)
        if keep:
            self._kept.keep(planes)
            self._kept_at_s = now_s
            self._rest()
        return GateDecision(keep=keep, why=why, judgement=judgement)

    def _decide(self, judgement: Judgement, planes: Planes, now_s: float) -> tuple[bool, str]:
        settings = self.settings
        if judgement.verdict is Verdict.NEW or judgement.cells >= settings.large_cells:
            return True, judgement.why
        if settings.heartbeat_s is not None and now_s - self._kept_at_s >= settings.heartbeat_s:
            return True, "heartbeat"
        if judgement.verdict is Verdict.SAME:
            self._rest()
            return False, judgement.why
        if judgement.verdict is Verdict.MAYBE:
            self._maybes += 1
            return self._maybes >= settings.maybe_samples, judgement.why
        return self._settled(planes, now_s), judgement.why

    def _settled(self, planes: Planes, now_s: float) -> bool:
        """Return whether an edit has come to rest, or has been waited for long enough."""
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
            self._resting.keep(planes)
        elif self._resting.judge(planes).verdict is Verdict.SAME:
            self._quiet += 1
        else:
            self._quiet = 0
            self._resting.keep(planes)
        waited_s = now_s - self._waiting_since_s
        return self._quiet >= self.settings.quiet_samples or waited_s >= self.settings.max_wait_s

    def _rest(self) -> None:
        """Forget the edit being waited for."""
        self._waiting_since_s = None
        self._quiet = self._maybes = 0
