"""Count joins, departures and requests of all rooms in steps of half a second. The clock is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from cluster.rooms.forecast import RoomSignal

STEP_S = 0.5
JOIN_STEPS = 3
"""Few, so that a burst shows as it begins. Their median counts, so that a single step is no burst."""
RATE_WINDOW_S = 20
"""Long, so that a room's request rate is a mean over many of its frames."""


@dataclass(slots=True)
class _Step:
    at: int
    joins: float = 0.0
    leaves: float = 0.0
    room_s: float = 0.0
    requests: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class RoomTraffic:
    """Joins, departures and requests by step, over the rate window and no longer."""

    steps: deque[_Step] = field(default_factory=lambda: deque(maxlen=round(RATE_WINDOW_S / STEP_S) + 1))

    def add_joins(self, at_s: float, rooms: int = 1) -> None:
        self._step(at_s).joins += rooms

    def add_leaves(self, at_s: float, rooms: int = 1) -> None:
        self._step(at_s).leaves += rooms

    def add_requests(self, at_s: float, room_s: float, **requests: float) -> None:
        """Add the requests to each service within `room_s` room-seconds that end at `at_s`."""
        step = self._step(at_s)
        step.room_s += room_s
        for service, count in requests.items():
            step.requests[service] = step.requests.get(service, 0.0) + count

    def signal(self, now_s: float, open_rooms: int) -> RoomSignal:
        """Return the rates of the last whole steps; the present step is not over and does not count."""
        recent = [one for one in self.steps if one.at > _number(now_s - RATE_WINDOW_S)]
        room_s = sum(one.room_s for one in recent)
        services = {service for one in recent for service in one.requests} if room_s > 0 else set()
        rates = {
            service: sum(one.requests.get(service, 0.0) for one in recent) / room_s for service in sorted(services)
        }
        by_number, number = {one.at: one for one in self.steps}, _number(now_s)
        last = [by_number.get(number - ago) or _Step(0) for ago in range(1, JOIN_STEPS + 1)]
        return RoomSignal(
            open_rooms=open_rooms,
            joins_per_s=median(one.joins for one in last) / STEP_S,
            growth_per_s=max(0.0, median(one.joins - one.leaves for one in last)) / STEP_S,
            requests_per_room_s=rates,
            room_s=room_s,
        )

    def _step(self, at_s: float) -> _Step:
        # A clock that was set back adds to the newest step, so that the order stays.
        if not self.steps or _number(at_s) > self.steps[-1].at:
            self.steps.append(_Step(_number(at_s)))
        return self.steps[-1]


def _number(at_s: float) -> int:
    return int(at_s / STEP_S)
