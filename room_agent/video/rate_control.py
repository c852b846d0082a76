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
    step_before_outage: int | None = None
    well: bool = False
    """Whether the last answer was a good one."""

    @property
    def fps(self) -> float:
        return self.full_fps * STEPS[self.step]

    def answered(self, took_s: float) -> None:
        """Record an answer; a slow one lowers the rate. The first good one after an outage restores the rate."""
        if took_s > SLOW_ANSWER_S:
            self.slow_down()
            return
        if self.step_before_outage is not None:
            self.step, self.step_before_outage = self.step_before_outage, None
        self.well = True
        self._add_good()

    def repeated(self) -> None:
        """Record a look that found nothing to send. It counts as a good answer where one came since the last failure.

        Otherwise a still screen, which sends nothing, would never return to the full rate.
        """
        if self.well:
            self._add_good()

    def refused(self, now_s: float, retry_after_s: float | None = None) -> None:
        """Record a refusal, and close the track for the router's `Retry-After`."""
        self.step_before_outage = None
        self.slow_down()
        self.closed_until_s = max(self.closed_until_s, now_s + (retry_after_s or 0.0))

    def unanswered(self) -> None:
        """Record that the router cannot be reached, or did not answer in time: that says nothing about its load."""
        before = self.step if self.step_before_outage is None else self.step_before_outage
        self.slow_down()
        self.step_before_outage = before

    def slow_down(self) -> None:
        self.step, self.good = min(self.step + 1, len(STEPS) - 1), 0
        self.well = False

    def open(self, now_s: float) -> bool:
        """Return whether a frame may be sent now."""
        return now_s >= self.closed_until_s

    def _add_good(self) -> None:
        self.good += 1
        if self.good >= GOOD_TO_RECOVER:
            self.step, self.good = max(0, self.step - 1), 0
