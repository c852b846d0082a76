"""Remembers the open rooms and what their agents last said. Forgets one that has been silent too long."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.messages import RoomBeat

SILENT_S = 60.0
"""An agent beats every few seconds; after a minute without one its room is no longer counted as open."""
MAX_ROOMS = 200_000


@dataclass(slots=True)
class RoomBook:
    """The open rooms by name. A room has one agent: a newer job takes the room over."""

    beats: dict[str, RoomBeat] = field(default_factory=dict)

    def beat(self, beat: RoomBeat) -> None:
        if len(self.beats) >= MAX_ROOMS and beat.room not in self.beats:
            self.forget_silent(beat.beat_at_s)
        self.beats[beat.room] = beat

    def close(self, room: str, job_id: str) -> None:
        """Forget a room, unless another job has taken it over."""
        if room in self.beats and self.beats[room].job_id == job_id:
            del self.beats[room]

    def of(self, tenant_id: str, now_s: float) -> tuple[RoomBeat, ...]:
        self.forget_silent(now_s)
        return tuple(beat for beat in self.beats.values() if beat.tenant_id == tenant_id)

    def forget_silent(self, now_s: float) -> None:
        self.beats = {room: beat for room, beat in self.beats.items() if now_s - beat.beat_at_s < SILENT_S}
