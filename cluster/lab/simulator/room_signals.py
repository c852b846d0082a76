"""Report the simulated rooms to a simulated policy, as late as the aggregator would."""

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
        self._clock, self._late_s, self._poll_every_s = clock, heartbeat_every_s / 2, poll_every_s
        self._joins_s, self._leaves_s = rooms.join_at_s, np.sort(rooms.leave_at_s)
        self._traffic = RoomTraffic()
        self._joined = self._left = 0
        self._beats: list[WorkloadPeriod] = []
        self._last: tuple[float, RoomSignal] | None = None

    def hear(self, period: WorkloadPeriod) -> None:
        """Record the rooms' activity in a period, to be reported with their heartbeats."""
        self._beats.append(period)
        while self._beats and self._beats[0].to_s + self._late_s <= period.from_s:
            said = self._beats.pop(0)
            self._traffic.asked(
                period.from_s,
                room_s=said.open_rooms * (said.to_s - said.from_s),
                vision=len(said.kept) - said.joined,
                llm=len(said.asked),
            )

    def move(self) -> None:
        """Count joins and departures up to now, and poll when due."""
        now_s = self._clock.now_s
        joined = int(np.searchsorted(self._joins_s, now_s))
        left = int(np.searchsorted(self._leaves_s, now_s))
        self._traffic.joined(now_s, joined - self._joined)
        self._traffic.left(now_s, left - self._left)
        self._joined, self._left = joined, left
        if self._last is None or now_s - self._last[0] >= self._poll_every_s - 1e-9:
            self._last = now_s, self._traffic.signal(now_s, joined - left)

    def __call__(self) -> RoomSignal | None:
        if self._last is None:
            return None
        at_s, signal = self._last
        return replace(signal, age_s=self._clock.now_s - at_s)
