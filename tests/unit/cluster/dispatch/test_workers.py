"""The heartbeats of workers tell living agents from dead ones."""

from __future__ import annotations

from cluster.dispatch.models import JobLiveness
from cluster.dispatch.workers import MAX_WORKERS, RECONNECT_S, SILENT_S, WorkerRegistry
from room_agent.core.worker_heartbeat import WorkerHeartbeat, WorkerJob

STEP_S = 0.5


def beat(*agents: str, worker: str = "worker-1", draining: bool = False, stopped: bool = False) -> WorkerHeartbeat:
    jobs = tuple(WorkerJob(room=f"tenant_acme_{agent}", identity=agent) for agent in agents)
    return WorkerHeartbeat(worker=worker, draining=draining, stopped=stopped, jobs=jobs)


def expired(registry: WorkerRegistry, from_s: float, to_s: float) -> dict[str, set[str]]:
    """Check at every step as the dispatcher does, and return the workers that expired."""
    found: dict[str, set[str]] = {}
    now_s = from_s
    while now_s <= to_s:
        found |= registry.expire(now_s)
        now_s += STEP_S
    return found


def test_a_job_runs_drains_and_ends_with_its_workers_heartbeats() -> None:
    registry = WorkerRegistry()
    assert registry.liveness("a") is JobLiveness.UNKNOWN
    assert registry.report(beat("a", "b"), 1, 0.0) == set()
    assert registry.liveness("a") is JobLiveness.RUNNING
    assert registry.report(beat("b"), 1, 1.0) == {"tenant_acme_a"}
    assert registry.liveness("a") is JobLiveness.GONE
    assert registry.report(beat("b", draining=True), 1, 2.0) == {"tenant_acme_b"}
    assert registry.report(beat("b", draining=True), 1, 2.5) == set()
    assert registry.liveness("b") is JobLiveness.DRAINING
    assert registry.report(beat("b", stopped=True), 1, 3.0) == {"tenant_acme_b"}
    assert registry.liveness("b") is JobLiveness.GONE and not registry.workers


def test_a_job_that_ended_while_no_dispatch_ran_is_gone_at_the_first_heartbeat() -> None:
    registry = WorkerRegistry()
    job = WorkerJob(room="tenant_acme_a", identity="a")
    late = beat("b").model_copy(update={"ended": (job,)})
    assert registry.report(late, 1, 0.0) == {"tenant_acme_a"}
    assert registry.liveness("a") is JobLiveness.GONE and registry.liveness("b") is JobLiveness.RUNNING
    assert registry.report(late, 1, 1.0) == set()


def test_the_jobs_of_a_worker_whose_connection_breaks_are_gone_soon() -> None:
    registry = WorkerRegistry()
    registry.report(beat("a"), 1, 0.0)
    registry.disconnect(1, 0.0)
    assert expired(registry, 0.0, RECONNECT_S - STEP_S) == {}
    assert expired(registry, RECONNECT_S, RECONNECT_S) == {"worker-1": {"tenant_acme_a"}}
    assert registry.liveness("a") is JobLiveness.GONE


def test_a_worker_that_connects_again_keeps_its_jobs() -> None:
    registry = WorkerRegistry()
    registry.report(beat("a"), 1, 0.0)
    registry.disconnect(1, 0.0)
    registry.report(beat("a"), 2, 0.5)
    # The end of the old connection may be noticed after the new one has begun.
    registry.disconnect(1, 0.6)
    assert expired(registry, 0.5, 2 * RECONNECT_S) == {}
    assert registry.liveness("a") is JobLiveness.RUNNING


def test_the_jobs_of_a_silent_worker_are_gone_and_come_back_with_it() -> None:
    registry = WorkerRegistry()
    registry.report(beat("a"), 1, 0.0)
    assert expired(registry, 0.0, SILENT_S - STEP_S) == {}
    assert expired(registry, SILENT_S, SILENT_S) == {"worker-1": {"tenant_acme_a"}}
    registry.report(beat("a"), 1, 20.0)
    assert registry.liveness("a") is JobLiveness.RUNNING


def test_workers_that_are_lost_all_at_once_are_not_believed_dead() -> None:
    registry = WorkerRegistry()
    for number, name in enumerate(("worker-1", "worker-2")):
        registry.report(beat(name, worker=name), number, 0.0)
    assert expired(registry, 0.0, 60.0) == {}
    registry.report(beat("worker-2", worker="worker-2"), 3, 60.0)
    assert expired(registry, 60.5, 60.5) == {"worker-1": {"tenant_acme_worker-1"}}


def test_a_stall_of_this_process_is_no_silence_of_the_workers() -> None:
    registry = WorkerRegistry()
    registry.report(beat("a"), 1, 0.0)
    assert registry.expire(0.5) == {} and registry.expire(60.0) == {}
    assert expired(registry, 60.5, 80.0) == {"worker-1": {"tenant_acme_a"}}


def test_workers_beyond_the_bound_are_refused_and_counted() -> None:
    registry = WorkerRegistry()
    for number in range(MAX_WORKERS):
        registry.report(beat(worker=f"worker-{number}"), number, 0.0)
    registry.report(beat("a", worker="worker-too-many"), MAX_WORKERS, 0.0)
    assert registry.refused == 1 and registry.liveness("a") is JobLiveness.UNKNOWN
    assert len(registry.workers) == MAX_WORKERS
