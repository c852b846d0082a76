"""Says when the next frame of a track is due. Knows no track; the clock comes in."""

from __future__ import annotations

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
