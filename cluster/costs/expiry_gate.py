"""Decide when open intents may expire, and whether a missing call record proves that an attempt never left."""

from __future__ import annotations

from dataclasses import dataclass

STALL_S = 5.0
"""Longer than any pause between two ticks of a process that runs; a stopped or starved process has longer ones."""


@dataclass(slots=True, kw_only=True)
class ExpiryGate:
    """After a start or a stall nothing expires for `grace_s`: what waited in the outboxes arrives first."""

    grace_s: float
    resumed_at_s: float
    ticked_at_s: float
    unbroken_since_s: float
    """Every call record sent since then has arrived."""

    @classmethod
    def started(cls, now_s: float, grace_s: float) -> ExpiryGate:
        return cls(grace_s=grace_s, resumed_at_s=now_s, ticked_at_s=now_s, unbroken_since_s=now_s)

    def tick(self, now_s: float) -> bool:
        """Record that the process runs; return whether intents may expire now."""
        if now_s - self.ticked_at_s > STALL_S:
            self.resumed_at_s = self.unbroken_since_s = now_s
        self.ticked_at_s = now_s
        return now_s - self.resumed_at_s >= self.grace_s

    def lose_records(self, now_s: float) -> None:
        """Record that call records may have been lost until now."""
        self.unbroken_since_s = now_s
