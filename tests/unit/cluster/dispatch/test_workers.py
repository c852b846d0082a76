"""The heartbeats of workers tell living agents from dead ones."""

from __future__ import annotations

from cluster.dispatch import workers
from cluster.dispatch.models import JobLiveness
from cluster.dispatch.workers import MAX_WORKERS, SILENT_S, STALLED_S, WorkerRegistry
from room_agent.core.worker_heartbeat import WorkerHeartbeat, WorkerJob

STEP_S = 0.5


def beat(number: int, *agents: str, worker: str = "worker-1", draining: bool = False, stopped: bool = False) -> (
    WorkerHeartbeat
):
    jobs = tuple(WorkerJob(room=f"tenant_acme_{agent}", identity=agent) for agent in agents)
    return WorkerHeartbeat(worker=worker, number=number, draining=draining, stopped=stopped, jobs=jobs)


def expire_until(registry: WorkerRegistry, from_s: float, to_s: float) -> dict[str, set[str]]:
    """Check at every step as the dispatcher does, and return what expired."""
    expired: dict[str, set[str]] = {}
    now_s = from_s
    while now_s <= to_s:
        expired |= registry.expire_silent(now_s)
        now_s += STEP_S
    return expired


def test_a_job_runs_drains_and_ends_with_its_workers_heartbeats() -> None:
    registry = WorkerRegistry()
    assert registry.liveness("a") is JobLiveness.UNKNOWN
    assert registry.report(beat(1, "a", "b"), 0.0) == set()
    assert registry.liveness("a") is JobLiveness.RUNNING
    assert registry.report(beat(2, "b"), 1.0) == {"tenant_acme_a"}
    assert registry.liveness("a") is JobLiveness.GONE
    assert registry.report(beat(3, "b", draining=True), 2.0) == {"tenant_acme_b"}
    assert registry.liveness("b") is JobLiveness.DRAINING
    assert registry.report(beat(4, "b", stopped=True), 3.0) == {"tenant_acme_b"}
    assert registry.liveness("b") is JobLiveness.GONE and not registry.workers


def test_a_replayed_or_late_heartbeat_changes_nothing() -> None:
    registry = WorkerRegistry()
    registry.report(beat(1, "a"), 0.0)
    registry.report(beat(3, "a", "b"), 1.0)
    assert registry.report(beat(2), 2.0) == registry.report(beat(3), 2.0) == set()
    assert registry.liveness("b") is JobLiveness.RUNNING
    registry.report(beat(4, stopped=True), 3.0)
    registry.report(beat(5, "a"), 3.5)
    assert registry.liveness("a") is JobLiveness.GONE


def test_the_jobs_of_a_silent_worker_are_gone_and_come_back_with_it() -> None:
    registry = WorkerRegistry()
    registry.report(beat(1, "a"), 0.0)
    assert expire_until(registry, 0.0, SILENT_S - STEP_S) == {}
    assert expire_until(registry, SILENT_S, SILENT_S) == {"worker-1": {"tenant_acme_a"}}
    assert registry.liveness("a") is JobLiveness.GONE
    registry.report(beat(9, "a"), 10.0)
    assert registry.liveness("a") is JobLiveness.RUNNING


def test_workers_that_fall_silent_all_at_once_are_not_believed_dead() -> None:
    registry = WorkerRegistry()
    for name in ("worker-1", "worker-2"):
        registry.report(beat(1, name, worker=name), 0.0)
    assert expire_until(registry, 0.0, 60.0) == {}
    registry.report(beat(2, "worker-2", worker="worker-2"), 60.0)
    assert expire_until(registry, 60.5, 60.5) == {"worker-1": {"tenant_acme_worker-1"}}


def test_a_stall_of_this_process_is_no_silence_of_the_workers() -> None:
    registry = WorkerRegistry()
    registry.report(beat(1, "a"), 0.0)
    assert registry.expire_silent(0.5) == {}
    assert registry.expire_silent(60.0) == {}
    assert expire_until(registry, 60.5, 60.0 + SILENT_S - STALLED_S) == {"worker-1": {"tenant_acme_a"}}


def test_workers_beyond_the_bound_are_refused_and_counted(monkeypatch: object) -> None:
    registry = WorkerRegistry()
    for number in range(MAX_WORKERS):
        registry.report(beat(1, worker=f"worker-{number}"), 0.0)
    registry.report(beat(1, "a", worker="worker-too-many"), 0.0)
    assert registry.refused == 1 and registry.liveness("a") is JobLiveness.UNKNOWN
    assert workers.MAX_WORKERS == len(registry.workers)
