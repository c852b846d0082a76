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
    number: int
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
        recent = [step for step in self.steps if step.number > _number(now_s - RATE_WINDOW_S)]
        room_s = sum(step.room_s for step in recent)
        services = {service for step in recent for service in step.requests} if room_s > 0 else set()
        rates = {
            service: sum(step.requests.get(service, 0.0) for step in recent) / room_s for service in sorted(services)
        }
        by_number, number = {step.number: step for step in self.steps}, _number(now_s)
        last_steps = [by_number.get(number - ago) or _Step(0) for ago in range(1, JOIN_STEPS + 1)]
        return RoomSignal(
            open_rooms=open_rooms,
            joins_per_s=median(step.joins for step in last_steps) / STEP_S,
            growth_per_s=max(0.0, median(step.joins - step.leaves for step in last_steps)) / STEP_S,
            requests_per_room_s=rates,
            room_s=room_s,
        )

    def _step(self, at_s: float) -> _Step:
        # A clock that was set back adds to the newest step, so that the order stays.
        if not self.steps or _number(at_s) > self.steps[-1].number:
            self.steps.append(_Step(_number(at_s)))
        return self.steps[-1]


def _number(at_s: float) -> int:
    return int(at_s / STEP_S)
