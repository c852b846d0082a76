"""Report the simulated rooms to a simulated policy with the delay of the aggregator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cluster.lab.scenario.arrivals import ScheduledRooms
from cluster.lab.simulator.ray_autoscaler import VirtualClock
from cluster.lab.simulator.workload import WorkloadPeriod
from cluster.rooms.forecast import RoomSignal
from cluster.rooms.rates import RoomTraffic


class RoomSignals:
    """The aggregator's signal: joins at once, requests one heartbeat later, polled at intervals."""

    def __init__(
        self, clock: VirtualClock, rooms: ScheduledRooms, heartbeat_every_s: float, poll_every_s: float
    ) -> None:
        self._clock, self._delay_s, self._poll_every_s = clock, heartbeat_every_s / 2, poll_every_s
        self._joins_s, self._leaves_s = rooms.join_at_s, np.sort(rooms.leave_at_s)
        self._traffic = RoomTraffic()
        self._joined = self._left = 0
        self._pending: list[WorkloadPeriod] = []
        self._last: tuple[float, RoomSignal] | None = None

    def record(self, period: WorkloadPeriod) -> None:
        """Record the rooms' activity in a period, to be reported with their heartbeats."""
        self._pending.append(period)
        while self._pending and self._pending[0].to_s + self._delay_s <= period.from_s:
            reported = self._pending.pop(0)
            self._traffic.add_requests(
                period.from_s,
                room_s=reported.open_rooms * (reported.to_s - reported.from_s),
                vision=len(reported.kept_rooms) - reported.joined,
                llm=len(reported.question_rooms),
            )

    def advance(self) -> None:
        """Count joins and departures up to now, and poll when due."""
        now_s = self._clock.now_s
        joined = int(np.searchsorted(self._joins_s, now_s))
        left = int(np.searchsorted(self._leaves_s, now_s))
        self._traffic.add_joins(now_s, joined - self._joined)
        self._traffic.add_leaves(now_s, left - self._left)
        self._joined, self._left = joined, left
        if self._last is None or now_s - self._last[0] >= self._poll_every_s - 1e-9:
            self._last = now_s, self._traffic.signal(now_s, joined - left)

    def __call__(self) -> RoomSignal | None:
        if self._last is None:
            return None
        at_s, signal = self._last
        return replace(signal, age_s=self._clock.now_s - at_s)
