"""Keep the last heartbeat of each open room, and expire a room that has been silent for a minute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import FIFOCache

from cluster.rooms.forecast import RoomSignal
from cluster.rooms.rates import RoomTraffic
from routing.models import Intent, RoomHeartbeat

SILENT_S = 60.0
"""An agent sends a heartbeat every few seconds; after a minute without one its room no longer counts as open."""
MAX_ROOMS = 200_000


@dataclass(slots=True)
class RoomRegistry:
    """The open rooms by name. A room has one agent: a newer job takes the room over."""

    beats: dict[str, RoomHeartbeat] = field(default_factory=dict)
    closed: FIFOCache[tuple[str, str], float] = field(default_factory=lambda: FIFOCache(MAX_ROOMS))
    """When a job had opened the room that it closed. Its token of that time, and any older one, is dead."""
    traffic: RoomTraffic = field(default_factory=RoomTraffic)

    def beat(self, beat: RoomHeartbeat) -> bool:
        """Record a heartbeat, and the requests since the last one of the same job; return False in a closed room."""
        if self.is_closed(beat.room, beat.job_id, beat.opened_at_s):
            return False
        if len(self.beats) >= MAX_ROOMS and beat.room not in self.beats:
            self.forget_silent(beat.beat_at_s)
        before = self.beats.get(beat.room)
        self.beats[beat.room] = beat
        if before is None:
            self.traffic.add_joins(beat.beat_at_s)
        elif before.job_id == beat.job_id:
            self.traffic.add_requests(
                beat.beat_at_s,
                room_s=max(0.0, beat.beat_at_s - before.beat_at_s),
                # A room's first frame is no part of its rate: the forecast counts it with the join.
                vision=max(0.0, _frames(beat.counters) - (_frames(before.counters) if before.counters else 1.0)),
                llm=max(0.0, _questions(beat.counters) - _questions(before.counters)),
            )
        return True

    def close(self, room: str, job_id: str, opened_at_s: float, now_s: float) -> None:
        """End the token with which a job opened a room, and remove the room unless another job has taken it over."""
        self.closed.pop((room, job_id), None)
        self.closed[room, job_id] = opened_at_s
        if room in self.beats and self.beats[room].job_id == job_id:
            del self.beats[room]
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
        self.forget_silent(now_s)
        return tuple(beat for beat in self.beats.values() if beat.tenant_id == tenant_id)

    def signal(self, now_s: float) -> RoomSignal:
        """Return the signal for the scaling policies: the number of open rooms and their rates."""
        self.forget_silent(now_s)
        return self.traffic.signal(now_s, len(self.beats))

    def forget_silent(self, now_s: float) -> None:
        """Remove the rooms without a heartbeat in the last SILENT_S seconds; they count as departures."""
        alive = {room: beat for room, beat in self.beats.items() if now_s - beat.beat_at_s < SILENT_S}
        if len(alive) < len(self.beats):
            self.traffic.add_leaves(now_s, len(self.beats) - len(alive))
        self.beats = alive


def _frames(counters: Mapping[str, float]) -> float:
    return counters.get("frames_kept", 0.0)


def _questions(counters: Mapping[str, float]) -> float:
    # With a voice, `voice_answers` includes the answers to chat; without one, only `chat_taken` is counted.
    return counters.get("voice_answers", counters.get("chat_taken", 0.0))
