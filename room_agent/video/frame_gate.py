"""Decides which sampled frames are worth sending, and packs those. The clock is a parameter."""

from __future__ import annotations

from dataclasses import dataclass

from room_agent.core.models import KeptFrame, Source
from room_agent.frames.detector import ChangeDetector
from room_agent.frames.encoder import encode
from room_agent.frames.features import features
from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.frames.verdict import LARGE_CELLS, Judgement, Verdict

QUIET_SAMPLES = 2
"""An edit is sent after this many samples in which it stayed as it was.

Two halve the cost of typing and lose nothing, because the reference stays the last kept frame.
"""
MAX_WAIT_S = 8.0
"""An edit that never comes to rest is sent after this time."""
MAYBE_SAMPLES = 3
"""A small change that may be a vanished pointer is sent in its third sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """Whether to send a frame, and the judgement behind it."""

    keep: bool
    judgement: Judgement

    @property
    def why(self) -> str:
        """The judgement's reason, a fixed phrase."""
        return self.judgement.why


class FrameGate:
    """Judges the samples of one track in order; for one thread at a time."""

    def __init__(self) -> None:
        self._kept = ChangeDetector()
        self._resting = ChangeDetector()
        self._waiting_since_s: float | None = None
        self._quiet = 0
        self._maybes = 0
        self._lost = False

    def forget(self) -> None:
        """Treat the next sample as new, because the last kept one was lost. May be called from another thread."""
        # A flag, not a new detector: `offer` may be running in a thread right now.
        self._lost = True

    def offer(self, planes: Planes, now_s: float) -> GateDecision:
        """Return whether to send `planes`. A frame to send becomes the reference for the next samples."""
        if self._lost:
            self._lost = False
            self._kept = ChangeDetector()
        judgement = self._kept.judge(planes)
        keep = self._keeps(judgement, planes, now_s)
        if keep:
            self._kept.keep(planes)
            self._reset_wait()
        return GateDecision(keep=keep, judgement=judgement)

    def _keeps(self, judgement: Judgement, planes: Planes, now_s: float) -> bool:
        # A new scene is sent at once: nobody waits for a slide to settle.
        if judgement.verdict is Verdict.NEW or judgement.cells >= LARGE_CELLS:
            return True
        if judgement.verdict is Verdict.SAME:
            self._reset_wait()
            return False
        if judgement.verdict is Verdict.MAYBE:
            self._maybes += 1
            return self._maybes >= MAYBE_SAMPLES
        return self._has_settled(planes, now_s)

    def _has_settled(self, planes: Planes, now_s: float) -> bool:
        """Return whether an edit has come to rest, or has waited long enough."""
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
            self._resting.keep(planes)
        elif self._resting.judge(planes).verdict is Verdict.SAME:
            self._quiet += 1
        else:
            self._quiet = 0
            self._resting.keep(planes)
        return self._quiet >= QUIET_SAMPLES or now_s - self._waiting_since_s >= MAX_WAIT_S

    def _reset_wait(self) -> None:
        """Stop waiting for the present edit to settle."""
        self._waiting_since_s = None
        self._quiet = self._maybes = 0


def pack_frame(
    planes: Planes, decision: GateDecision, track_sid: str, source: Source, long_side_px: int, captured_at_s: float
) -> KeptFrame:
    """Return a frame that the gate keeps with its JPEG and its headers, ready to send.

    The router routes by the measured features. `captured_at_s` is wall-clock time.
    """
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
