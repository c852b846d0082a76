"""One point in time by which a request must be answered. The clock comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock, in seconds, shared by every attempt of a request."""

    at_s: float

    @classmethod
    def after(cls, seconds: float, now_s: float) -> Deadline:
        return cls(now_s + seconds)

    def remaining_s(self, now_s: float) -> float:
        return max(0.0, self.at_s - now_s)

    def allows(self, seconds: float, now_s: float) -> bool:
        """Tell whether something that takes `seconds` can still end in time."""
        return self.remaining_s(now_s) >= seconds
