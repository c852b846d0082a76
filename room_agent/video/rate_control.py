"""Adapts a track's sampling rate to the router's answers. The clock is a parameter."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = (1.0, 0.5, 0.2)
"""Shares of the full rate: at 1 frame a second, one every second, every two, every five."""
GOOD_TO_RECOVER = 5
"""The number of good answers in a row that raises the rate by one step."""
SLOW_ANSWER_S = 8.0


@dataclass(slots=True)
class RateControl:
    """A track's rate: a step down after a failure or a slow answer, a step up after several good answers."""

    full_fps: float
    step: int = 0
    good: int = 0
    closed_until_s: float = 0.0

    @property
    def fps(self) -> float:
        return self.full_fps * STEPS[self.step]

    def answered(self, took_s: float) -> None:
        """Record an answer; a slow one lowers the rate."""
        if took_s > SLOW_ANSWER_S:
            self.slow_down()
            return
        self.good += 1
        if self.good >= GOOD_TO_RECOVER:
            self.step, self.good = max(0, self.step - 1), 0

    def refused(self, now_s: float, retry_after_s: float | None = None) -> None:
        """Record a refusal or a timeout, and close the track for the router's `Retry-After`."""
        self.slow_down()
        self.closed_until_s = max(self.closed_until_s, now_s + (retry_after_s or 0.0))

    def slow_down(self) -> None:
        self.step, self.good = min(self.step + 1, len(STEPS) - 1), 0

    def open(self, now_s: float) -> bool:
        """Return whether a frame may be sent now."""
        return now_s >= self.closed_until_s
