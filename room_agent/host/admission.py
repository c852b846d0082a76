"""Decides whether a worker has room for one more job. Clocks are parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

STARTING_S = 60.0
"""An accepted job that has not started by then was assigned to another worker, or failed to start."""
UNMEASURED_S = 15.0
"""The use of a job that runs for less than this time is not part of the measured use yet."""
FULL_CPU, FULL_MEMORY = 0.8, 0.85
"""The shares of the cores and of the memory above which no further room is accepted."""
FULL_LAG_S = 1.0
"""A machine that wakes a thread as late as this cannot look at a screen once a second."""
ROOM_CORES, ROOM_MB = 0.1, 110.0
"""The use assumed of a room that is not measured yet: `make bench-agents`, the largest share without simulcast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """The use of a host. `cpu` is the worker's own share of the cores, `memory` the used share of the memory."""

    cores: float
    memory_mb: float
    cpu: float = 0.0
    memory: float = 0.0
    lag_s: float = 0.0

    def load(self, unmeasured_rooms: int = 0) -> float:
        """Return the load of the scarcest resource; at 1 the worker is full."""
        return max(self.loads(unmeasured_rooms).values())

    def loads(self, unmeasured_rooms: int = 0) -> dict[str, float]:
        """Return the load of each resource by its name."""
        cpu = self.cpu + unmeasured_rooms * ROOM_CORES / self.cores
        memory = self.memory + unmeasured_rooms * ROOM_MB / self.memory_mb
        return {"cpu": cpu / FULL_CPU, "memory": memory / FULL_MEMORY, "lag": self.lag_s / FULL_LAG_S}


@dataclass(slots=True)
class Admission:
    """The admission of jobs by measured headroom, and up to `max_rooms` where that is set.

    livekit-agents only estimates the load of an accepted job; with few jobs the estimate fills a worker too early.
    """

    max_rooms: int | None = None
    starting: dict[str, float] = field(default_factory=dict)
    """The accepted jobs that have not started, and the time of each acceptance."""
    unmeasured: dict[str, float] = field(default_factory=dict)
    """The jobs that started only just now, and the time at which each was first seen to run."""

    def admit(self, job_id: str, running: Collection[str], use: HostUse, now_s: float) -> bool:
        """Return whether the job fits, and count it if so. `running` holds the ids of the running jobs."""
        started = {job: now_s for job in self.starting if job in running}
        recent = started | {job: at_s for job, at_s in self.unmeasured.items() if job in running}
        self.unmeasured = {job: at_s for job, at_s in recent.items() if now_s - at_s < UNMEASURED_S}
        self.starting = {
            job: at_s for job, at_s in self.starting.items() if job not in started and now_s - at_s < STARTING_S
        }
        if self.max_rooms is not None and len(running) + len(self.starting) >= self.max_rooms:
            return False
        if use.load(len(self.starting) + len(self.unmeasured) + 1) > 1.0:
            return False
        self.starting[job_id] = now_s
        return True

    def load(self, use: HostUse, running: int) -> float:
        """Return the load that is reported to the SFU, at most 1: it prefers the worker with the lowest."""
        counted = 0.0 if self.max_rooms is None else running / self.max_rooms
        return min(max(use.load(), counted), 1.0)
