"""The state of one room in LiveKit, and the steps that change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from room_agent.core.agents import PresentAgent
from routing.rooms import RoomName


class JobLiveness(StrEnum):
    """The state of an agent's job by the heartbeats of its worker."""

    RUNNING = "running"
    DRAINING = "draining"
    GONE = "gone"
    UNKNOWN = "unknown"
    """No worker has reported the job yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchedJob:
    """A job that the SFU assigned to a worker. `identity` is empty where the worker refused it."""

    identity: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomDispatch:
    """A dispatch of our agent in a room."""

    id: str
    created_at_ns: int
    age_s: float
    """By the clocks of the SFU and of this process."""
    key: str = ""
    replaces: str = ""
    metadata: str = field(default="", repr=False)
    jobs: tuple[DispatchedJob, ...] = ()

    @property
    def age_key(self) -> tuple[int, str]:
        """Return the order of creation; the same for every reader."""
        return self.created_at_ns, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSnapshot:
    """A tenant's room as LiveKit describes it: the number of its people, our agents and our dispatches."""

    name: RoomName
    people: int
    agents: tuple[PresentAgent, ...] = ()
    dispatches: tuple[RoomDispatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomMemory:
    """The past of a room that LiveKit does not hold. Without it, after a restart, decisions only come later."""

    first_seen_s: Mapping[str, float] = field(default_factory=dict)
    """The first sight of each dispatch id and each agent identity that LiveKit still lists."""
    served: frozenset[str] = frozenset()
    """The listed dispatches of which an agent has joined."""
    unattended_since_s: float | None = None
    attended_since_s: float | None = None
    attempts: int = 0
    """The dispatches created since an agent was last present."""
    crashes: int = 0
    """The agents in a row that left soon after they had joined."""
    retry_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDispatch:
    """Dispatch an agent. Two creations with one `key` are the same one, and the younger is deleted."""

    key: str
    metadata: str = field(repr=False)
    replaces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDispatch:
    """Delete a dispatch; the SFU ends its jobs."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAgent:
    """Remove an agent from the room: a participant whose process is dead, or the younger of two agents."""

    identity: str
    reason: str


Step = CreateDispatch | DeleteDispatch | RemoveAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomDecision:
    """The steps for a room, in their order, and its memory after them."""

    steps: tuple[Step, ...]
    memory: RoomMemory
    look_again_s: float | None
    """The time of the next look on the clock of `now_s`; None until something happens."""
    unattended_s: float | None = None
    """The time that the room was without an agent, if it has one again since the last look."""
