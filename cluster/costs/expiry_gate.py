"""Decide when open intents may expire, and whether a missing call record proves that an attempt never left."""

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
    unbroken_since_s: float
    """Every call record that was sent since then has arrived."""
    connected_replicas: int = 0

    @classmethod
    def started(cls, now_s: float, grace_s: float) -> ExpiryGate:
        return cls(grace_s=grace_s, resumed_at_s=now_s, ticked_at_s=now_s, unbroken_since_s=now_s)

    @property
    def witnessed_since_s(self) -> float | None:
        """The time since which no call record can have been lost; None while no model replica is connected."""
        return self.unbroken_since_s if self.connected_replicas else None

    def tick(self, now_s: float) -> bool:
        """Record that the process runs; return whether intents may expire now."""
        if now_s - self.ticked_at_s > STALL_S:
            self.resumed_at_s = self.unbroken_since_s = now_s
        self.ticked_at_s = now_s
        return now_s - self.resumed_at_s >= self.grace_s

    def replica_connected(self, now_s: float) -> None:
        if self.connected_replicas == 0:
            self.unbroken_since_s = now_s
        self.connected_replicas += 1

    def replica_disconnected(self, now_s: float, records_lost: bool) -> None:
        """Record the end of a replica's connection, and whether its last records may not have arrived."""
        self.connected_replicas -= 1
        if records_lost:
            self.lose_records(now_s)

    def lose_records(self, now_s: float) -> None:
        """Record that call records may have been lost until now."""
        self.unbroken_since_s = now_s
