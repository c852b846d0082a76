"""The counters of agents are added up over rooms and jobs, each once."""

from __future__ import annotations

import math

import pytest

from cluster.rooms.registry import RoomRegistry
from routing.models import RoomHeartbeat


def beat(rooms: RoomRegistry, job_id: str = "job-1", room: str = "tenant_acme_x", **counters: float) -> None:
    opened_at_s = float(job_id[-1])
    assert rooms.beat(
        RoomHeartbeat(
            room=room, tenant_id="acme", job_id=job_id, beat_at_s=20.0, opened_at_s=opened_at_s, counters=counters
        )
    )


def test_growth_since_the_last_heartbeat_is_added_over_all_rooms() -> None:
    rooms = RoomRegistry()
    beat(rooms)
    beat(rooms, room="tenant_acme_y")
    beat(rooms, frames_seen=5.0, frames_kept=1.0)
    beat(rooms, frames_seen=9.0, frames_kept=1.0)
    beat(rooms, room="tenant_acme_y", frames_seen=2.0)
    assert rooms.sums.totals["frames_seen"] == 11 and rooms.sums.totals["frames_kept"] == 1


def test_a_new_job_begins_at_zero_and_a_closed_room_keeps_its_part() -> None:
    rooms = RoomRegistry()
    beat(rooms)
    beat(rooms, frames_seen=50.0)
    beat(rooms, "job-2")
    beat(rooms, "job-2", frames_seen=3.0)
    rooms.close("tenant_acme_x", "job-2", 2.0, 21.0)
    assert rooms.sums.totals["frames_seen"] == 53


def test_a_restarted_aggregator_does_not_count_the_past_of_a_room_again() -> None:
    rooms = RoomRegistry()
    beat(rooms, frames_seen=500.0)
    beat(rooms, frames_seen=501.0)
    assert rooms.sums.totals["frames_seen"] == 1


@pytest.mark.parametrize("wrong", [-5.0, 1e300, math.nan])
def test_a_counter_that_falls_or_leaps_and_an_unknown_name_are_left_out(wrong: float) -> None:
    rooms = RoomRegistry()
    beat(rooms)
    beat(rooms, frames_seen=wrong, a_name_of_its_own=7.0)
    assert rooms.sums.totals["frames_seen"] == 0 and "a_name_of_its_own" not in rooms.sums.totals
