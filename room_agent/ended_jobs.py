"""Remembers the jobs of a worker that ended within the last minute, for its heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from room_agent.core.worker_heartbeat import ENDED_FOR_S, MAX_ENDED, WorkerJob


class EndedJobs:
    """The ended jobs of one worker. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: dict[str, WorkerJob] = {}
        self._ended: dict[WorkerJob, float] = {}

    def update(self, running: Sequence[WorkerJob]) -> tuple[WorkerJob, ...]:
        """Compare the running jobs with the previous ones; return the ended jobs, the oldest first."""
        now_s = self._clock()
        before, self._running = self._running, {job.identity: job for job in running}
        self._ended |= {job: now_s for identity, job in before.items() if identity not in self._running}
        recent = [job for job, at_s in self._ended.items() if now_s - at_s < ENDED_FOR_S][-MAX_ENDED:]
        self._ended = {job: self._ended[job] for job in recent}
        return tuple(recent)
