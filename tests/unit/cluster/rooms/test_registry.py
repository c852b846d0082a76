"""The token of a closed room causes no more costs and does not open the room again."""

from __future__ import annotations

from cluster.rooms.registry import RoomRegistry
from routing.models import RoomHeartbeat
from tests.support.cost_entries import intent


def heartbeat(job_id: str = "job-1", opened_at_s: float = 10.0) -> RoomHeartbeat:
    return RoomHeartbeat(
        room="tenant_acme_x", tenant_id="acme", job_id=job_id, beat_at_s=20.0, opened_at_s=opened_at_s, counters={}
    )


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
