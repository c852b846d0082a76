"""Adds up what all rooms did in each of the last seconds. The clock is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cluster.autoscaling.rooms_ahead import RoomSignal

JOIN_WINDOW_S = 5
"""Short, so that a burst is seen as it begins."""
RATE_WINDOW_S = 20
"""Long, so that what a room asks is a mean over many of its frames."""


@dataclass(slots=True)
class _Second:
    at: int
    joins: float = 0.0
    room_s: float = 0.0
    asked: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class RoomTraffic:
    """Joins and requests by second; no more of them are kept than are asked about."""

    seconds: deque[_Second] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW_S + 1))

    def joined(self, at_s: float, rooms: int = 1) -> None:
        self._second(at_s).joins += rooms

    def asked(self, at_s: float, room_s: float, **requests: float) -> None:
        """Add what rooms asked of each service in so many seconds of a room, until `at_s`."""
        second = self._second(at_s)
        second.room_s += room_s
        for service, count in requests.items():
            second.asked[service] = second.asked.get(service, 0.0) + count

    def signal(self, now_s: float, open_rooms: int) -> RoomSignal:
        joins = sum(one.joins for one in self.seconds if one.at > int(now_s) - JOIN_WINDOW_S)
        recent = [one for one in self.seconds if one.at > int(now_s) - RATE_WINDOW_S]
        room_s = sum(one.room_s for one in recent)
        services = {service for one in recent for service in one.asked} if room_s > 0 else set()
        rates = {service: sum(one.asked.get(service, 0.0) for one in recent) / room_s for service in sorted(services)}
        window_s = JOIN_WINDOW_S - 1 + now_s % 1
        return RoomSignal(open_rooms=open_rooms, joins_per_s=joins / window_s, requests_per_room_s=rates, room_s=room_s)

    def _second(self, at_s: float) -> _Second:
        # A clock that was set back adds to the newest second, so that the order stays.
        if not self.seconds or int(at_s) > self.seconds[-1].at:
            self.seconds.append(_Second(int(at_s)))
        return self.seconds[-1]
