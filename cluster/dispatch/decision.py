"""Decide the next steps for one room: the dispatches to create or delete, and the agents to remove.

A pure function of LiveKit's state, the workers' heartbeats and the clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
    Step,
)
from room_agent.core.agents import PresentAgent
from routing.errors import RayroomError
from routing.retry import backoff_s
from routing.rooms import check_metadata

LOOK_AGAIN_S = 1.0
"""The pause between looks at a room that waits for an agent."""
UNASSIGNED_S = 8.0
"""A dispatch without a job by then found no worker: the SFU offers a job once, for 7.5 s, and lists it within 5 s."""
START_TIMEOUT_S = 20.0
"""An agent joins 0.4 to 3.8 s after its dispatch, later on a busy machine."""
REPORTED_START_TIMEOUT_S = 60.0
"""The same where the worker reports the job as running."""
REJOIN_S = 2.0
"""The time in which an agent that lost its connection may join again, while its worker reports its job."""
RIVAL_GRACE_S = 3.0
"""The younger of two agents leaves by itself within this time, or it is removed."""
STABLE_S = 30.0
"""An agent that leaves before may have crashed, and would crash again."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 10.0

Liveness = Callable[[str], JobLiveness]


def decide(room: RoomSnapshot, memory: RoomMemory, liveness: Liveness, now_s: float) -> RoomDecision:
    """Return the steps that give a room with people exactly one agent. `liveness` maps an agent's identity."""
    return _Assessment.of(room, memory, liveness, now_s).decision()


@dataclass(frozen=True, slots=True)
class _Assessment:
    """One room at one moment: its living agents, and the dead ones that LiveKit still lists."""

    room: RoomSnapshot
    memory: RoomMemory
    before: RoomMemory
    liveness: Liveness
    now_s: float
    living: tuple[PresentAgent, ...]
    dead: tuple[PresentAgent, ...]

    @classmethod
    def of(cls, room: RoomSnapshot, before: RoomMemory, liveness: Liveness, now_s: float) -> _Assessment:
        agents = sorted(room.agents, key=lambda agent: (agent.joined_at_ms, agent.identity))
        living = tuple(agent for agent in agents if liveness(agent.identity) is not JobLiveness.GONE)
        dead = tuple(agent for agent in agents if liveness(agent.identity) is JobLiveness.GONE)
        memory = _remember(room, before, bool(living), now_s)
        return cls(room, memory, before, liveness, now_s, living, dead)

    def decision(self) -> RoomDecision:
        steps: list[Step] = [RemoveAgent(identity=agent.identity, reason="job ended") for agent in self.dead]
        rivals = self._rivals()
        steps += [RemoveAgent(identity=agent.identity, reason="second agent") for agent in rivals if self._stays(agent)]
        duplicates = self._duplicates()
        steps += [DeleteDispatch(id=dispatch.id, reason="duplicate") for dispatch in duplicates]
        pending = [d for d in self.room.dispatches if d not in duplicates and self._pending(d)]
        over = [d for d in self.room.dispatches if d not in duplicates and d not in pending and not self._attended(d)]
        memory, creation, waits = self._creation(pending)
        if creation is not None or self.living:
            steps += [DeleteDispatch(id=dispatch.id, reason="over") for dispatch in over if self._deletable(dispatch)]
        if creation is not None:
            steps.append(creation)
        again = waits or bool(rivals) or bool(self.dead)
        return RoomDecision(
            steps=tuple(steps),
            memory=memory,
            look_again_s=self.now_s + LOOK_AGAIN_S if again else None,
            unattended_s=self._unattended_s(),
        )

    def _creation(self, pending: list[RoomDispatch]) -> tuple[RoomMemory, CreateDispatch | None, bool]:
        """Return the memory, the dispatch to create, and whether the room waits for an agent."""
        replaces = self._to_replace()
        if replaces is None or self.room.people == 0:
            return self.memory, None, False
        if any(dispatch.replaces in ("", replaces) for dispatch in pending) or self._rejoining():
            return self.memory, None, True
        if self.now_s < self.memory.retry_at_s:
            return self.memory, None, True
        attempts = self.memory.attempts + 1
        retry_at_s = self.now_s + backoff_s(attempts, FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
        memory = replace(self.memory, attempts=attempts, retry_at_s=retry_at_s)
        return memory, CreateDispatch(key=self._key(replaces), metadata=self._metadata(), replaces=replaces), True

    def _to_replace(self) -> str | None:
        """Return the identity of the draining agent to replace, "" in a room without an agent, else None."""
        if not self.living:
            return ""
        successors = self._unsucceeded()
        drains = all(self.liveness(agent.identity) is JobLiveness.DRAINING for agent in successors)
        return successors[0].identity if successors and drains else None

    def _unsucceeded(self) -> list[PresentAgent]:
        replaced = {agent.replaces for agent in self.living}
        return [agent for agent in self.living if agent.identity not in replaced]

    def _rivals(self) -> list[PresentAgent]:
        """Return all agents but the oldest, without those that hand the room over to another one."""
        return self._unsucceeded()[1:]

    def _stays(self, rival: PresentAgent) -> bool:
        return self.now_s - self.memory.first_seen_s[rival.identity] >= RIVAL_GRACE_S

    def _rejoining(self) -> bool:
        since_s = self.memory.unattended_since_s
        if self.living or since_s is None or self.now_s - since_s >= REJOIN_S:
            return False
        jobs = (job for dispatch in self.room.dispatches for job in dispatch.jobs)
        return any(self.liveness(job.identity) is JobLiveness.RUNNING for job in jobs if job.identity)

    def _attended(self, dispatch: RoomDispatch) -> bool:
        return _has_agent(dispatch, self.living)

    def _deletable(self, dispatch: RoomDispatch) -> bool:
        """Return whether no living agent can come of the dispatch: its deletion would end that agent's job."""
        return not self.living or self.now_s - self.memory.first_seen_s[dispatch.id] >= START_TIMEOUT_S

    def _pending(self, dispatch: RoomDispatch) -> bool:
        """Return whether an agent may still come of a dispatch."""
        if self._attended(dispatch) or dispatch.id in self.memory.served:
            return False
        seen_s = self.now_s - self.memory.first_seen_s[dispatch.id]
        if not dispatch.jobs:
            return seen_s < UNASSIGNED_S
        age_s = max(seen_s, dispatch.age_s)
        return any(age_s < self._start_timeout_s(job) for job in dispatch.jobs)

    def _start_timeout_s(self, job: DispatchedJob) -> float:
        """Return the age up to which a dispatch may wait for a job's agent; 0 for a job that has ended."""
        liveness = self.liveness(job.identity)
        if job.ended or not job.identity or liveness is JobLiveness.GONE:
            return 0.0
        return START_TIMEOUT_S if liveness is JobLiveness.UNKNOWN else REPORTED_START_TIMEOUT_S

    def _duplicates(self) -> list[RoomDispatch]:
        """Return the dispatches whose key an older one has; one with an agent in the room counts as the oldest."""
        ordered = sorted(self.room.dispatches, key=lambda d: (not self._attended(d), d.age_key))
        keys: set[str] = set()
        duplicates = []
        for dispatch in ordered:
            if dispatch.key and dispatch.key in keys:
                duplicates.append(dispatch)
            keys.add(dispatch.key)
        return duplicates

    def _key(self, replaces: str) -> str:
        """Return a key that every `rayroom dispatch` derives from the same state of the room."""
        newest = max(self.room.dispatches, key=lambda dispatch: dispatch.age_key, default=None)
        return f"{newest.id if newest is not None else 'first'}/{replaces}"

    def _metadata(self) -> str:
        """Return the metadata of the newest valid dispatch, which a backend may have made, else the room's own."""
        for dispatch in sorted(self.room.dispatches, key=lambda dispatch: dispatch.age_key, reverse=True):
            try:
                check_metadata(self.room.name, dispatch.metadata)
            except RayroomError:
                continue
            return dispatch.metadata
        name = self.room.name
        return json.dumps({"tenant_id": name.tenant_id, "meeting_id": name.meeting_id})

    def _unattended_s(self) -> float | None:
        since_s = self.before.unattended_since_s
        return self.now_s - since_s if self.living and since_s is not None else None


def _remember(room: RoomSnapshot, before: RoomMemory, attended: bool, now_s: float) -> RoomMemory:
    """Return the memory with all that LiveKit lists now, and without all that it no longer lists."""
    dispatches = {dispatch.id for dispatch in room.dispatches}
    listed = dispatches | {agent.identity for agent in room.agents}
    first_seen_s = {name: before.first_seen_s.get(name, now_s) for name in listed}
    served = {dispatch.id for dispatch in room.dispatches if _has_agent(dispatch, room.agents)}
    memory = replace(before, first_seen_s=first_seen_s, served=(before.served | served) & dispatches)
    return _attended(memory, now_s) if attended else _unattended(memory, room.people > 0, now_s)


def _attended(memory: RoomMemory, now_s: float) -> RoomMemory:
    since_s = now_s if memory.attended_since_s is None else memory.attended_since_s
    crashes = memory.crashes if now_s - since_s < STABLE_S else 0
    return replace(memory, unattended_since_s=None, attended_since_s=since_s, attempts=0, crashes=crashes)


def _unattended(memory: RoomMemory, has_people: bool, now_s: float) -> RoomMemory:
    """Return the memory of a room without an agent. The first lost agent is replaced at once, the next ones later."""
    if memory.attended_since_s is not None:
        crashes = memory.crashes + 1 if now_s - memory.attended_since_s < STABLE_S else 1
        pause_s = backoff_s(crashes - 1, FIRST_BACKOFF_S, LONGEST_BACKOFF_S) if crashes > 1 else 0.0
        memory = replace(memory, attended_since_s=None, crashes=crashes, retry_at_s=now_s + pause_s)
    since_s = now_s if memory.unattended_since_s is None else memory.unattended_since_s
    return replace(memory, unattended_since_s=since_s if has_people else None)


def _has_agent(dispatch: RoomDispatch, agents: Iterable[PresentAgent]) -> bool:
    jobs = {job.identity for job in dispatch.jobs}
    return any(agent.dispatch_id == dispatch.id or agent.identity in jobs for agent in agents)
