"""A worker remembers its ended jobs for a minute."""

from __future__ import annotations

import pytest

from room_agent import ended_jobs
from room_agent.core.worker_heartbeat import ENDED_FOR_S, WorkerJob
from room_agent.ended_jobs import EndedJobs


def job(name: str) -> WorkerJob:
    return WorkerJob(room=f"tenant_acme_{name}", identity=name)


def test_an_ended_job_is_reported_for_a_minute() -> None:
    now_s = 0.0
    jobs = EndedJobs(lambda: now_s)
    assert jobs.update([job("a"), job("b")]) == ()
    assert jobs.update([job("b")]) == (job("a"),)
    now_s = ENDED_FOR_S - 0.1
    assert jobs.update([]) == (job("a"), job("b"))
    now_s = ENDED_FOR_S
    assert jobs.update([]) == (job("b"),)


def test_only_the_newest_of_many_ended_jobs_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_jobs, "MAX_ENDED", 2)
    jobs = EndedJobs(lambda: 0.0)
    for name in "abcd":
        jobs.update([job(name)])
    assert jobs.update([]) == (job("c"), job("d"))
