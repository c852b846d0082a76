"""Add up the counters of heartbeats over all rooms, those that have closed too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from routing.models import RoomHeartbeat
from routing.telemetry.aggregator_metrics import ROOM_COUNTERS

MOST_A_BEAT = 1e9
"""A counter that grows by more between two heartbeats is an agent's fault, and is left out."""


@dataclass(slots=True)
class AgentSums:
    """The sums since the start. An agent's counters begin at zero with its job."""

    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ROOM_COUNTERS, 0.0))

    def add(self, previous: RoomHeartbeat | None, heartbeat: RoomHeartbeat) -> None:
        """Add the growth since the last heartbeat of the same job; the first one after a restart only begins.

        A job's first heartbeat is the opening of its room, without counters. An aggregator that started later knows no
        previous one, and must not count a room's whole past again.
        """
        if previous is None or previous.job_id != heartbeat.job_id:
            return
        before: Mapping[str, float] = previous.counters
        for name in ROOM_COUNTERS.keys() & heartbeat.counters.keys():
            growth = heartbeat.counters[name] - before.get(name, 0.0)
            if 0 < growth <= MOST_A_BEAT:
                self.totals[name] += growth
