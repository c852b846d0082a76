"""Limits how often a room's model is called for texts that may be for somebody else."""

from __future__ import annotations

from routing.ratelimit import TokenBucket

BURST, PER_MINUTE = 10, 10
"""A lively meeting says some ten things a minute. Each costs a cheap model's turn, 0.0003 USD: at most 0.20 an hour."""


class UnsureTurns:
    """The unsure turns of one room, and the bucket that limits them. A text beyond it counts as not addressed."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(tokens=BURST, filled_at_s=0.0)
        self._admitted = self._refused = 0

    def admits(self, now_s: float) -> bool:
        """Take one turn from the bucket; return whether it held one."""
        admitted = not self._bucket.take(now_s, PER_MINUTE / 60, BURST)
        self._admitted += admitted
        self._refused += not admitted
        return admitted

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat."""
        return {"voice_unsure": self._admitted, "voice_unsure_refused": self._refused}
