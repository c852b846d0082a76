"""Says how often a track may be looked at, from how the router answers. Sends nothing; the clock comes in."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = (1.0, 0.5, 0.2)
"""Shares of the full rate: at 1 frame a second, one every second, every two, every five."""
GOOD_TO_RECOVER = 5
"""Answers in a row that speed the track up by one step."""
SLOW_ANSWER_S = 8.0


@dataclass(slots=True)
class RateControl:
    """A track's rate: down a step on trouble, up a step after some good answers."""

    full_fps: float
    step: int = 0
    good: int = 0
    closed_until_s: float = 0.0

    @property
    def fps(self) -> float:
        return self.full_fps * STEPS[self.step]

    def answered(self, took_s: float) -> None:
        """Take note of an answer; a slow one is trouble too."""
        if took_s > SLOW_ANSWER_S:
            self.slow_down()
            return
        self.good += 1
        if self.good >= GOOD_TO_RECOVER:
            self.step, self.good = max(0, self.step - 1), 0

    def refused(self, now_s: float, retry_after_s: float | None = None) -> None:
        """Take note of a refusal or a silence, and of when the router wants to be asked again."""
        self.slow_down()
        self.closed_until_s = max(self.closed_until_s, now_s + (retry_after_s or 0.0))

    def slow_down(self) -> None:
        self.step, self.good = min(self.step + 1, len(STEPS) - 1), 0

    def open(self, now_s: float) -> bool:
        """Tell whether a frame may be sent now."""
        return now_s >= self.closed_until_s
