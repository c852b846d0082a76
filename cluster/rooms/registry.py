"""Remembers the open rooms and what their agents last said. Forgets one that has been silent too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.rooms.forecast import RoomSignal
from cluster.rooms.rates import RoomTraffic
from routing.models import RoomHeartbeat

SILENT_S = 60.0
"""An agent beats every few seconds; after a minute without one its room is no longer counted as open."""
MAX_ROOMS = 200_000


@dataclass(slots=True)
class RoomRegistry:
    """The open rooms by name. A room has one agent: a newer job takes the room over."""

    beats: dict[str, RoomHeartbeat] = field(default_factory=dict)
    traffic: RoomTraffic = field(default_factory=RoomTraffic)

    def beat(self, beat: RoomHeartbeat) -> None:
        if len(self.beats) >= MAX_ROOMS and beat.room not in self.beats:
            self.forget_silent(beat.beat_at_s)
        before = self.beats.get(beat.room)
        self.beats[beat.room] = beat
        if before is None:
            self.traffic.joined(beat.beat_at_s)
        elif before.job_id == beat.job_id:
            self.traffic.asked(
                beat.beat_at_s,
                room_s=max(0.0, beat.beat_at_s - before.beat_at_s),
                # A room's first frame is no part of its rate: it comes with the join.
                vision=max(0.0, _frames(beat.counters) - (_frames(before.counters) if before.counters else 1.0)),
                llm=max(0.0, _questions(beat.counters) - _questions(before.counters)),
            )

    def close(self, room: str, job_id: str, now_s: float | None = None) -> None:
        """Forget a room, unless another job has taken it over."""
        if room in self.beats and self.beats[room].job_id == job_id:
            left = self.beats.pop(room)
            self.traffic.left(left.beat_at_s if now_s is None else now_s)

    def of(self, tenant_id: str, now_s: float) -> tuple[RoomHeartbeat, ...]:
        self.forget_silent(now_s)
        return tuple(beat for beat in self.beats.values() if beat.tenant_id == tenant_id)

    def signal(self, now_s: float) -> RoomSignal:
        """Return what a scaling policy is told of all rooms."""
        self.forget_silent(now_s)
        return self.traffic.signal(now_s, len(self.beats))

    def forget_silent(self, now_s: float) -> None:
        heard = {room: beat for room, beat in self.beats.items() if now_s - beat.beat_at_s < SILENT_S}
        if len(heard) < len(self.beats):
            self.traffic.left(now_s, len(self.beats) - len(heard))
        self.beats = heard


def _frames(counters: Mapping[str, float]) -> float:
    return counters.get("frames_kept", 0.0)


def _questions(counters: Mapping[str, float]) -> float:
    # An agent that speaks counts what was written among its answers.
    return counters.get("voice_answers", counters.get("chat_taken", 0.0))
