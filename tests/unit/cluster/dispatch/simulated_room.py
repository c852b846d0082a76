"""One room of a simulated LiveKit that carries out the steps of the decisions, on a clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cluster.dispatch.decision import decide
from cluster.dispatch.models import (
    CreateDispatch,
    DeleteDispatch,
    DispatchedJob,
    JobLiveness,
    RemoveAgent,
    RoomDecision,
    RoomDispatch,
    RoomMemory,
    RoomSnapshot,
)
from room_agent.core.agents import PresentAgent
from routing.rooms import parse_room

ROOM = parse_room("tenant_acme_standup")


@dataclass
class SimulatedRoom:
    """A room with people, workers and agents that a test moves; `look` is one look of `rayroom dispatch`."""

    people: int = 1
    now_s: float = 1_000.0
    agents: list[PresentAgent] = field(default_factory=list)
    dispatches: list[RoomDispatch] = field(default_factory=list)
    liveness: dict[str, JobLiveness] = field(default_factory=dict)
    memory: RoomMemory = field(default_factory=RoomMemory)
    created: int = 0
    last: RoomDecision | None = None

    def look(self, after_s: float = 0.0) -> list[str]:
        """Look after `after_s` seconds, carry out the steps, and return their kinds."""
        self.now_s += after_s
        decision = decide(self.snapshot(), self.memory, self._liveness, self.now_s)
        self.memory, self.last = decision.memory, decision
        for step in decision.steps:
            self.carry_out(step)
        return [_kind(step) for step in decision.steps]

    def snapshot(self) -> RoomSnapshot:
        aged = [replace(one, age_s=self.now_s - one.created_at_ns / 1e9) for one in self.dispatches]
        return RoomSnapshot(name=ROOM, people=self.people, agents=tuple(self.agents), dispatches=tuple(aged))

    def carry_out(self, step: CreateDispatch | DeleteDispatch | RemoveAgent) -> None:
        if isinstance(step, CreateDispatch):
            self.add_dispatch(step.key, step.replaces, step.metadata)
        elif isinstance(step, DeleteDispatch):
            self.dispatches = [one for one in self.dispatches if one.id != step.id]
        else:
            self.leave(step.identity)

    def add_dispatch(self, key: str = "", replaces: str = "", metadata: str = "") -> RoomDispatch:
        self.created += 1
        dispatch = RoomDispatch(
            id=f"AD_{self.created}",
            created_at_ns=round(self.now_s * 1e9),
            age_s=0.0,
            key=key,
            replaces=replaces,
            metadata=metadata,
        )
        self.dispatches.append(dispatch)
        return dispatch

    def assign(self, number: int = -1) -> str:
        """Assign a job of a dispatch, the newest by default, to a worker, and return the identity of its agent."""
        dispatch = self.dispatches[number]
        identity = f"rayroom-{dispatch.id}"
        self.dispatches[number] = replace(dispatch, jobs=(DispatchedJob(identity=identity, ended=False),))
        return identity

    def join(self, identity: str, replaces: str = "", dispatch_id: str = "") -> None:
        """Let an agent join now."""
        joined_at_ms = round(self.now_s * 1_000)
        self.agents.append(
            PresentAgent(identity=identity, joined_at_ms=joined_at_ms, replaces=replaces, dispatch_id=dispatch_id)
        )

    def leave(self, identity: str) -> None:
        self.agents = [agent for agent in self.agents if agent.identity != identity]

    def attend(self) -> str:
        """Dispatch an agent, let it join, and return its identity."""
        assert self.look() == ["create"]
        identity = self.assign()
        self.join(identity)
        assert self.look(0.5) == []
        return identity

    def _liveness(self, identity: str) -> JobLiveness:
        return self.liveness.get(identity, JobLiveness.UNKNOWN)


def _kind(step: CreateDispatch | DeleteDispatch | RemoveAgent) -> str:
    return {CreateDispatch: "create", DeleteDispatch: "delete", RemoveAgent: "remove"}[type(step)]
