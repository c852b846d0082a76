"""A worker admits jobs up to its limit and counts accepted jobs that have not started."""

from __future__ import annotations

from room_agent.worker import STARTING_S, Admission


def test_jobs_that_are_starting_count_towards_the_limit() -> None:
    admission = Admission(max_rooms=2)
    assert admission.admit("a", running=[], now_s=0.0)
    assert admission.admit("b", running=["a"], now_s=1.0)
    assert not admission.admit("c", running=["a"], now_s=2.0)
    assert not admission.admit("c", running=["a", "b"], now_s=3.0)
    assert admission.admit("c", running=["b"], now_s=4.0)


def test_an_accepted_job_that_never_starts_frees_its_place() -> None:
    admission = Admission(max_rooms=1)
    assert admission.admit("a", running=[], now_s=0.0)
    assert not admission.admit("b", running=[], now_s=STARTING_S - 1)
    assert admission.admit("b", running=[], now_s=STARTING_S)
