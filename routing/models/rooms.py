"""The open rooms, as the room agents report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from routing.models.costs import Spending


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomHeartbeat:
    """The last heartbeat of a room: counters since the job began, and times of the last answers."""

    room: str
    tenant_id: str
    job_id: str
    beat_at_s: float
    opened_at_s: float
    counters: Mapping[str, float]


class Rooms(Protocol):
    """The open rooms, as the agents report them in heartbeats."""

    async def beat(self, beat: RoomHeartbeat) -> Spending | None:
        """Return the nano-dollars that the room's tenant has spent, without its reservations.

        Returns None if that is unknown; raises RoomClosed or CostsUnavailable.
        """

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        """Close a room for the job that opened it then, whose token is dead from now on."""

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]: ...
