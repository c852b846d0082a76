"""A room with people gets exactly one agent, through all faults of agents, dispatches and workers."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from cluster.dispatch.decision import (
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    REJOIN_S,
    RIVAL_GRACE_S,
    STABLE_S,
    START_TIMEOUT_S,
    UNASSIGNED_S,
)
from cluster.dispatch.models import CreateDispatch, JobLiveness, RoomMemory
from tests.unit.cluster.dispatch.simulated_room import SimulatedRoom


def creation(room: SimulatedRoom) -> CreateDispatch:
    assert room.last is not None
    (step,) = (step for step in room.last.steps if isinstance(step, CreateDispatch))
    return step


def test_a_room_with_people_gets_one_dispatch_and_no_second_while_its_agent_starts() -> None:
    room = SimulatedRoom()
    assert room.look() == ["create"]
    assert json.loads(creation(room).metadata) == {"tenant_id": "acme", "meeting_id": "standup"}
    room.assign()
    assert [room.look(1.0) for _ in range(int(START_TIMEOUT_S) - 1)] == [[]] * (int(START_TIMEOUT_S) - 1)
    assert len(room.dispatches) == 1


def test_a_room_without_people_gets_no_agent_and_keeps_the_one_it_has() -> None:
    room = SimulatedRoom(people=0)
    assert room.look() == [] and room.look(60.0) == []
    room.people = 1
    room.attend()
    room.people = 0
    assert room.look(60.0) == [] and len(room.agents) == 1


def test_an_agent_that_left_is_replaced_at_the_next_look() -> None:
    room = SimulatedRoom()
    identity = room.attend()
    room.look(STABLE_S)
    room.leave(identity)
    assert room.look(0.1) == ["delete", "create"]
    assert [dispatch.id for dispatch in room.dispatches] == ["AD_2"]


def test_an_agent_whose_worker_reports_its_job_as_ended_is_removed_and_replaced_at_once() -> None:
    room = SimulatedRoom()
    identity = room.attend()
    room.look(STABLE_S)
    room.liveness[identity] = JobLiveness.GONE
    assert room.look(0.1) == ["remove", "delete", "create"]
    assert room.agents == []


def test_an_agent_is_known_by_its_dispatch_before_livekit_lists_the_job() -> None:
    room = SimulatedRoom()
    room.look()
    room.join("rayroom-1", dispatch_id="AD_1")
    assert room.look(UNASSIGNED_S + 1.0) == []
    room.leave("rayroom-1")
    assert room.look(0.1) == ["delete", "create"]


def test_a_dispatch_without_a_job_is_deleted_late_beside_a_living_agent() -> None:
    room = SimulatedRoom()
    room.attend()
    room.add_dispatch()
    assert room.look(0.1) == [] and room.look(START_TIMEOUT_S - 1.0) == []
    assert room.look(1.0) == ["delete"]
    assert [dispatch.id for dispatch in room.dispatches] == ["AD_1"]


def test_an_agent_that_lost_its_connection_may_join_again_while_its_worker_reports_it() -> None:
    room = SimulatedRoom()
    identity = room.attend()
    room.look(STABLE_S)
    room.liveness[identity] = JobLiveness.RUNNING
    room.leave(identity)
    assert room.look(0.1) == [] and room.look(REJOIN_S / 2) == []
    assert room.look(REJOIN_S) == ["delete", "create"]


def test_a_dispatch_that_no_worker_took_is_made_anew_with_growing_pauses() -> None:
    room = SimulatedRoom()
    room.look()
    created_at_s = [room.now_s]
    for _ in range(400):
        if "create" in room.look(0.1):
            created_at_s.append(room.now_s)
            assert len(room.dispatches) == 1
    pauses_s = [late - early for early, late in pairwise(created_at_s)]
    assert pauses_s[0] == pytest.approx(UNASSIGNED_S, abs=0.2)
    assert FIRST_BACKOFF_S < max(pauses_s) <= LONGEST_BACKOFF_S + 0.2


def test_an_agent_that_dies_right_after_joining_is_replaced_with_growing_pauses() -> None:
    room, created_at_s = SimulatedRoom(), []
    for _ in range(600):
        if "create" in room.look(0.1):
            created_at_s.append(room.now_s)
            identity = room.assign()
            room.join(identity)
            room.look(0.1)
            room.leave(identity)
    assert len(created_at_s) < 12
    room.join("rayroom-stable")
    room.look(0.1)
    room.look(STABLE_S)
    assert room.memory.crashes == 0


def test_an_agent_killed_right_after_a_long_wait_for_a_worker_is_replaced_at_once() -> None:
    room = SimulatedRoom()
    while room.memory.attempts < 6:
        room.look(1.0)
    identity = room.assign()
    room.join(identity)
    room.look(0.1)
    room.leave(identity)
    assert room.look(0.1) == ["delete", "create"]


def test_a_refused_job_does_not_hold_the_room_back() -> None:
    room = SimulatedRoom()
    room.add_dispatch(metadata='{"tenant_id": "globex"}')
    room.assign()
    room.dispatches[0] = room.dispatches[0].__class__(
        id="AD_1", created_at_ns=0, age_s=0.0, jobs=(room.dispatches[0].jobs[0].__class__(identity="", ended=True),)
    )
    assert room.look() == ["delete", "create"]
    assert json.loads(creation(room).metadata)["tenant_id"] == "acme"


def test_a_dispatch_of_the_backend_counts_and_its_metadata_is_used_again() -> None:
    room = SimulatedRoom()
    metadata = '{"tenant_id": "acme", "language": "de"}'
    room.add_dispatch(metadata=metadata)
    identity = room.assign()
    assert room.look() == []
    room.join(identity)
    room.look(1.0)
    room.leave(identity)
    room.look(1.0)
    assert creation(room).metadata == metadata


def test_two_dispatchers_that_see_the_same_room_end_with_one_dispatch() -> None:
    room = SimulatedRoom()
    other = SimulatedRoom()
    room.look()
    other.look()
    assert creation(room).key == creation(other).key
    room.add_dispatch(key=creation(other).key)
    assert room.look(0.1) == ["delete"]
    assert [dispatch.id for dispatch in room.dispatches] == ["AD_1"]


def test_of_two_equal_dispatches_the_one_with_an_agent_stays() -> None:
    room = SimulatedRoom()
    room.look()
    room.add_dispatch(key=creation(room).key)
    room.join(room.assign(1))
    assert room.look(0.1) == ["delete"]
    assert [dispatch.id for dispatch in room.dispatches] == ["AD_2"]


def test_a_second_agent_is_removed_when_it_does_not_leave_by_itself() -> None:
    room = SimulatedRoom()
    first = room.attend()
    room.add_dispatch()
    second = room.assign()
    room.join(second)
    assert room.look(0.1) == [] and room.look(RIVAL_GRACE_S - 0.5) == []
    assert room.look(1.0) == ["remove"]
    assert [agent.identity for agent in room.agents] == [first]


def test_a_draining_agent_is_replaced_once_and_stays_until_its_successor_watches() -> None:
    room = SimulatedRoom()
    first = room.attend()
    room.look(STABLE_S)
    room.liveness[first] = JobLiveness.DRAINING
    assert room.look(0.1) == ["create"]
    assert creation(room).replaces == first
    second = room.assign()
    assert room.look(1.0) == []
    room.join(second, replaces=first)
    assert room.look(1.0) == [] and room.look(RIVAL_GRACE_S + 1.0) == []
    room.leave(first)
    assert "create" not in room.look(1.0)
    assert [agent.identity for agent in room.agents] == [second]


def test_a_successor_that_drains_too_gets_a_successor_of_its_own() -> None:
    room = SimulatedRoom()
    first = room.attend()
    room.look(STABLE_S)
    room.liveness[first] = JobLiveness.DRAINING
    room.look(0.1)
    second = room.assign()
    room.join(second, replaces=first)
    room.look(STABLE_S)
    room.liveness[second] = JobLiveness.DRAINING
    assert "create" in room.look(0.1)
    assert creation(room).replaces == second


def test_a_restarted_dispatch_keeps_a_living_agent_and_waits_for_a_starting_one() -> None:
    room = SimulatedRoom()
    room.look()
    identity = room.assign()
    room.memory = RoomMemory()
    assert room.look(1.0) == []
    room.join(identity)
    room.memory = RoomMemory()
    assert room.look(1.0) == []


def test_a_restarted_dispatch_replaces_an_agent_that_left_before() -> None:
    room = SimulatedRoom()
    room.leave(room.attend())
    room.now_s += START_TIMEOUT_S
    room.memory = RoomMemory()
    assert room.look() == ["delete", "create"]


def test_the_time_without_an_agent_is_reported_once() -> None:
    room = SimulatedRoom()
    room.look()
    identity = room.assign()
    room.join(identity)
    room.look(2.0)
    assert room.last is not None and room.last.unattended_s == 2.0
    room.look(1.0)
    assert room.last.unattended_s is None


def test_the_memory_of_a_room_does_not_grow() -> None:
    room = SimulatedRoom()
    for _ in range(50):
        room.look(LONGEST_BACKOFF_S)
        identity = room.assign()
        room.join(identity)
        room.look(STABLE_S)
        room.look(STABLE_S)
        room.leave(identity)
    assert len(room.memory.first_seen_s) <= 4
