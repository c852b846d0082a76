"""A worker admits jobs by the host's headroom, counts accepted jobs that have not started, and keeps to a set limit."""

from __future__ import annotations

import pytest

from room_agent.host.admission import STARTING_S, UNMEASURED_S, Admission, HostUse

IDLE = HostUse(cores=2.0, memory_mb=8_000.0)


def test_jobs_that_are_starting_count_towards_the_limit() -> None:
    admission = Admission(max_rooms=2)
    assert admission.admit("a", [], IDLE, now_s=0.0)
    assert admission.admit("b", ["a"], IDLE, now_s=1.0)
    assert not admission.admit("c", ["a"], IDLE, now_s=2.0)
    assert not admission.admit("c", ["a", "b"], IDLE, now_s=3.0)
    assert admission.admit("c", ["b"], IDLE, now_s=4.0)


def test_an_accepted_job_that_never_starts_frees_its_place() -> None:
    admission = Admission(max_rooms=1)
    assert admission.admit("a", [], IDLE, now_s=0.0)
    assert not admission.admit("b", [], IDLE, now_s=STARTING_S - 1)
    assert admission.admit("b", [], IDLE, now_s=STARTING_S)


@pytest.mark.parametrize(
    "use",
    [
        HostUse(cores=2.0, memory_mb=8_000.0, cpu=0.79),
        HostUse(cores=2.0, memory_mb=8_000.0, memory=0.845),
        HostUse(cores=2.0, memory_mb=8_000.0, lag_s=1.1),
    ],
)
def test_a_host_without_headroom_takes_no_room(use: HostUse) -> None:
    assert not Admission().admit("a", [], use, now_s=0.0)


def test_many_rooms_at_once_are_taken_up_to_the_headroom_before_their_use_is_measured() -> None:
    admission = Admission()
    assert sum(admission.admit(f"job {number}", [], IDLE, now_s=0.0) for number in range(200)) == 16


def test_rooms_that_run_are_counted_by_their_measured_use() -> None:
    admission = Admission()
    jobs = [f"job {number}" for number in range(16)]
    assert all(admission.admit(job, [], IDLE, now_s=0.0) for job in jobs)
    assert not admission.admit("one more", jobs, IDLE, now_s=1.0)
    assert not admission.admit("one more", jobs, IDLE, now_s=UNMEASURED_S)
    assert admission.admit("one more", jobs, IDLE, now_s=UNMEASURED_S + 1.0)


def test_the_load_for_the_server_is_that_of_the_scarcest_resource_or_of_the_limit() -> None:
    busy = HostUse(cores=2.0, memory_mb=8_000.0, cpu=0.4, memory=0.17)
    assert Admission().load(busy, running=3) == pytest.approx(0.5)
    assert Admission(max_rooms=4).load(busy, running=3) == pytest.approx(0.75)
    assert Admission().load(HostUse(cores=1.0, memory_mb=1.0, lag_s=9.0), running=0) == 1.0
