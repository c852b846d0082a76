"""The token of a closed room causes no more costs and does not open the room again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.rooms import registry
from cluster.rooms.registry import SILENT_S, RoomRegistry
from routing.models import RoomHeartbeat
from tests.support.cost_entries import intent


def heartbeat(job_id: str = "job-1", opened_at_s: float = 10.0) -> RoomHeartbeat:
    return RoomHeartbeat(
        room="tenant_acme_x", tenant_id="acme", job_id=job_id, beat_at_s=20.0, opened_at_s=opened_at_s, counters={}
    )


def of_tenant(tenant_id: str, number: int, beat_at_s: float = 20.0) -> RoomHeartbeat:
    room = f"tenant_{tenant_id}_{number}"
    return replace(heartbeat(), room=room, tenant_id=tenant_id, beat_at_s=beat_at_s)


def test_a_late_heartbeat_does_not_open_a_closed_room_again() -> None:
    rooms = RoomRegistry()
    assert rooms.beat(heartbeat())
    rooms.close("tenant_acme_x", "job-1", 10.0, 20.0)
    assert not rooms.beat(heartbeat()) and rooms.of("acme", 20.0) == ()


def test_a_room_that_its_job_opens_again_is_open() -> None:
    rooms = RoomRegistry()
    rooms.close("tenant_acme_x", "job-1", 10.0, 20.0)
    assert rooms.beat(heartbeat(opened_at_s=21.0)) and rooms.beat(heartbeat("job-2"))


def test_requests_of_a_closed_room_are_refused_and_costs_already_made_are_not() -> None:
    rooms = RoomRegistry()
    rooms.close("tenant_acme_x", "job-1", 10.0, 20.0)
    ended = [
        rooms.ends(intent(room="tenant_acme_x", room_opened_at_s=10.0, job_id=job_id))
        for job_id in ("job-1", "job-2", None)
    ]
    assert ended == [True, False, False]


def test_a_flood_of_one_tenants_rooms_leaves_the_rooms_of_others_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_ROOMS", 300)
    monkeypatch.setattr(registry, "MAX_ROOMS_A_TENANT", 100)
    rooms = RoomRegistry()
    rooms.beat(of_tenant("globex", 0))
    for number in range(1_000):
        assert rooms.beat(of_tenant("acme", number))
    assert len(rooms.heartbeats) == 101 and rooms.left_out == 900
    assert len(rooms.of("globex", 20.0)) == 1
    rooms.close("tenant_acme_0", "job-1", 10.0, 20.0)
    assert rooms.beat(of_tenant("acme", 5_000)) and len(rooms.of("acme", 20.0)) == 100


def test_over_the_bound_the_room_that_was_silent_for_longest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_ROOMS", 3)
    rooms = RoomRegistry()
    for tenant in ("a", "b", "c", "a", "d"):
        rooms.beat(of_tenant(tenant, 0))
    assert list(rooms.heartbeats) == ["tenant_c_0", "tenant_a_0", "tenant_d_0"] and rooms.left_out == 1


def test_a_heartbeat_that_is_dated_ahead_keeps_no_silent_room_alive_for_long() -> None:
    rooms = RoomRegistry()
    rooms.beat(of_tenant("fast-clock", 0, beat_at_s=3_600.0))
    rooms.beat(of_tenant("acme", 0, beat_at_s=20.0))
    rooms.of("acme", 30.0)
    assert rooms.of("acme", 20.0 + 2 * SILENT_S) == ()
    assert [one.tenant_id for one in rooms.heartbeats.values()] == ["fast-clock"]
