"""The time of a simulation: it stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class VirtualClock:
    """Seconds since the simulation began. Has the two names that Ray's modules read of `time`."""

    now_s: float = 0.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s
