"""Decide when open intents may expire."""

from __future__ import annotations

from dataclasses import dataclass

STALL_S = 5.0
"""Longer than any pause between two ticks of a process that runs; a stopped or starved process has longer ones."""


@dataclass(slots=True, kw_only=True)
class ExpiryGate:
    """After a start or a stall nothing expires for `grace_s`: first arrives what waited in the outboxes."""

    grace_s: float
    resumed_at_s: float
    ticked_at_s: float

    @classmethod
    def started(cls, now_s: float, grace_s: float) -> ExpiryGate:
        return cls(grace_s=grace_s, resumed_at_s=now_s, ticked_at_s=now_s)

    def stalled(self, now_s: float) -> bool:
        """Return whether the process did not run since the last tick."""
        return now_s - self.ticked_at_s > STALL_S

    def tick(self, now_s: float) -> bool:
        """Record that the process runs; return whether intents may expire now."""
        if self.stalled(now_s):
            self.resumed_at_s = now_s
        self.ticked_at_s = now_s
        return now_s - self.resumed_at_s >= self.grace_s
