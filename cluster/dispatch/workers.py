"""Keep the workers' heartbeats, and derive the liveness of each agent's job from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from cachetools import FIFOCache

from cluster.dispatch.models import JobLiveness
from room_agent.core.worker_heartbeat import WorkerHeartbeat

RECONNECT_S = 1.5
"""A living worker connects again half a second after its connection broke."""
SILENT_S = 10.0
"""A worker sends a heartbeat a second. A busy host is late; after this silence on an open connection it is dead."""
STALLED_S = 1.5
"""After such a pause between two checks this process was stalled itself, and silence proves nothing."""
MAX_WORKERS = 4_096
MAX_REMEMBERED = 50_000
"""The ended jobs that are remembered."""


@dataclass(slots=True)
class _Worker:
    connection: int
    due_s: float
    """The time after which it counts as dead."""
    draining: bool
    rooms: dict[str, str]
    """The room of each identity."""


@dataclass(slots=True)
class WorkerRegistry:
    """The workers that send heartbeats. Methods return the rooms whose agents changed their state."""

    workers: dict[str, _Worker] = field(default_factory=dict)
    refused: int = 0
    """Heartbeats of workers beyond `MAX_WORKERS`, since the start."""
    _running: dict[str, str] = field(default_factory=dict)
    """The worker of each running job, by the agent's identity."""
    _gone: FIFOCache[str, bool] = field(default_factory=lambda: FIFOCache(MAX_REMEMBERED))
    _checked_at_s: float | None = None

    def liveness(self, identity: str) -> JobLiveness:
        """Return the state of the job behind an agent's identity."""
        if identity in self._gone:
            return JobLiveness.GONE
        worker = self.workers.get(self._running.get(identity, ""))
        if worker is None:
            return JobLiveness.UNKNOWN
        return JobLiveness.DRAINING if worker.draining else JobLiveness.RUNNING

    def report(self, beat: WorkerHeartbeat, connection: int, now_s: float) -> set[str]:
        """Record a heartbeat that came over the connection of this number."""
        before = self.workers.get(beat.worker)
        if before is None and len(self.workers) >= MAX_WORKERS:
            self.refused += 1
            return set()
        rooms = {job.identity: job.room for job in beat.jobs}
        known = before.rooms if before is not None else {}
        reported = {job.identity: job.room for job in beat.ended if job.identity not in self._gone}
        changed = self._end(known.keys() - rooms.keys(), known) | self._end(reported.keys() - rooms.keys(), reported)
        for identity in rooms:
            self._running[identity] = beat.worker
            # A worker that was cut off and is back reports its jobs again.
            self._gone.pop(identity, None)
        if beat.stopped:
            self.workers.pop(beat.worker, None)
            return changed | self._end(set(rooms), rooms)
        drains_anew = beat.draining and (before is None or not before.draining)
        self.workers[beat.worker] = _Worker(connection, now_s + SILENT_S, beat.draining, rooms)
        return changed | (set(rooms.values()) if drains_anew else set())

    def disconnect(self, connection: int, now_s: float) -> None:
        """Record the end of a connection: its worker is dead unless it opens another one soon."""
        for worker in self.workers.values():
            if worker.connection == connection:
                worker.due_s = min(worker.due_s, now_s + RECONNECT_S)

    def expire(self, now_s: float) -> dict[str, set[str]]:
        """Return the workers that are dead, each with its rooms; their jobs count as gone from now on.

        Where several workers are dead all at once, or this process was stalled, the fault is here: none expires.
        """
        paused_s = 0.0 if self._checked_at_s is None else now_s - self._checked_at_s
        self._checked_at_s = now_s
        if paused_s >= STALLED_S:
            for worker in self.workers.values():
                worker.due_s += paused_s
        dead = [name for name, worker in self.workers.items() if now_s >= worker.due_s]
        if len(dead) > 1 and len(dead) == len(self.workers):
            return {}
        expired = {}
        for name in dead:
            rooms = self.workers.pop(name).rooms
            expired[name] = self._end(set(rooms), rooms)
        return expired

    def _end(self, identities: set[str], rooms: dict[str, str]) -> set[str]:
        for identity in identities:
            self._running.pop(identity, None)
            self._gone[identity] = True
        return {rooms[identity] for identity in identities}
