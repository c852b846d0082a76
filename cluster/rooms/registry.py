"""Keep the last heartbeat of each open room, and expire a room that has been silent for a minute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cachetools import FIFOCache

from cluster.rooms.agent_sums import AgentSums
from cluster.rooms.closed_rooms import ClosedRoom
from cluster.rooms.forecast import RoomSignal
from cluster.rooms.rates import RoomTraffic
from routing.models import Intent, RoomHeartbeat

SILENT_S = 60.0
"""An agent sends a heartbeat every few seconds; after a minute without one its room no longer counts as open."""
MAX_ROOMS = 200_000
MAX_ROOMS_A_TENANT = 50_000
"""One tenant's rooms never push another's out: beyond it only its own newest ones are left out."""


@dataclass(slots=True)
class RoomRegistry:
    """The open rooms by name. A room has one agent: a newer job takes the room over."""

    heartbeats: dict[str, RoomHeartbeat] = field(default_factory=dict)
    """In the order of their arrival, the oldest first."""
    closed: FIFOCache[tuple[str, str], float] = field(default_factory=lambda: FIFOCache(MAX_ROOMS))
    """When a job had opened the room that it closed. Its token of that time, and any older one, is dead."""
    traffic: RoomTraffic = field(default_factory=RoomTraffic)
    sums: AgentSums = field(default_factory=AgentSums)
    left_out: int = 0
    """Heartbeats of rooms over a bound, which are billed all the same."""
    _rooms_of: Counter[str] = field(default_factory=Counter)
    _scanned_at_s: float = -math.inf

    @classmethod
    def with_closed(cls, closings: Iterable[ClosedRoom]) -> RoomRegistry:
        """Return a registry that has these rooms closed."""
        registry = cls()
        registry.closed.update({(closed.room, closed.job_id): closed.opened_at_s for closed in closings})
        return registry

    def beat(self, heartbeat: RoomHeartbeat) -> bool:
        """Record a heartbeat, and the requests since the last one of the same job; return False in a closed room."""
        if self.is_closed(heartbeat.room, heartbeat.job_id, heartbeat.opened_at_s):
            return False
        previous = self._remove(heartbeat.room)
        if previous is None and not self._has_space(heartbeat):
            self.left_out += 1
            return True
        self.heartbeats[heartbeat.room] = heartbeat
        self.sums.add(previous, heartbeat)
        self._rooms_of[heartbeat.tenant_id] += 1
        if previous is None:
            self.traffic.add_joins(heartbeat.beat_at_s)
        elif previous.job_id == heartbeat.job_id:
            self.traffic.add_requests(
                heartbeat.beat_at_s,
                room_s=max(0.0, heartbeat.beat_at_s - previous.beat_at_s),
                # A room's first frame is excluded from its rate: the forecast counts it with the join.
                vision=max(
                    0.0, _frames(heartbeat.counters) - (_frames(previous.counters) if previous.counters else 1.0)
                ),
                llm=max(0.0, _questions(heartbeat.counters) - _questions(previous.counters)),
            )
        return True

    def close(self, room: str, job_id: str, opened_at_s: float, now_s: float) -> None:
        """End the token with which a job opened a room, and remove the room unless another job has taken it over."""
        self.closed.pop((room, job_id), None)
        self.closed[room, job_id] = opened_at_s
        if room in self.heartbeats and self.heartbeats[room].job_id == job_id:
            self._remove(room)
            self.traffic.add_leaves(now_s)

    def is_closed(self, room: str, job_id: str, opened_at_s: float) -> bool:
        """Return whether the job has closed the room since it opened it."""
        return opened_at_s <= self.closed.get((room, job_id), -math.inf)

    def ends(self, intent: Intent) -> bool:
        """Return whether an intent comes from a closed room; other threads than the event loop's may call this."""
        job_id = intent.job_id
        return job_id is not None and self.is_closed(intent.room, job_id, intent.room_opened_at_s)

    def of(self, tenant_id: str, now_s: float) -> tuple[RoomHeartbeat, ...]:
        """Return the last heartbeats of a tenant's open rooms."""
        self.expire_silent(now_s)
        return tuple(heartbeat for heartbeat in self.heartbeats.values() if heartbeat.tenant_id == tenant_id)

    def signal(self, now_s: float) -> RoomSignal:
        """Return the signal for the scaling policies: the number of open rooms and their rates."""
        self.expire_silent(now_s)
        return self.traffic.signal(now_s, len(self.heartbeats))

    def expire_silent(self, now_s: float) -> None:
        """Remove the rooms without a heartbeat in the last SILENT_S seconds; they count as departures.

        The oldest stand first. Those that a router with a fast clock has dated ahead are found once in SILENT_S.
        """
        silent = []
        for room, heartbeat in self.heartbeats.items():
            if now_s - heartbeat.beat_at_s >= SILENT_S:
                silent.append(room)
            elif abs(now_s - self._scanned_at_s) < SILENT_S:
                break
        else:
            self._scanned_at_s = now_s
        for room in silent:
            self._remove(room)
        if silent:
            self.traffic.add_leaves(now_s, len(silent))

    def _has_space(self, heartbeat: RoomHeartbeat) -> bool:
        """Return whether a new room is recorded; the room that was silent for longest gives way to it."""
        if self._rooms_of[heartbeat.tenant_id] >= MAX_ROOMS_A_TENANT:
            return False
        if len(self.heartbeats) >= MAX_ROOMS:
            self._remove(next(iter(self.heartbeats)))
            self.left_out += 1
            self.traffic.add_leaves(heartbeat.beat_at_s)
        return True

    def _remove(self, room: str) -> RoomHeartbeat | None:
        removed = self.heartbeats.pop(room, None)
        if removed is not None:
            self._rooms_of[removed.tenant_id] -= 1
            if not self._rooms_of[removed.tenant_id]:
                del self._rooms_of[removed.tenant_id]
        return removed


def _frames(counters: Mapping[str, float]) -> float:
    return counters.get("frames_kept", 0.0)


def _questions(counters: Mapping[str, float]) -> float:
    # With a voice, `voice_answers` includes the answers to chat; without one, only `chat_taken` is counted.
    return counters.get("voice_answers", counters.get("chat_taken", 0.0))
