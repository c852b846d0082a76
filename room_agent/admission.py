"""Decides whether a worker takes one more room. Counts the accepted ones that have not started yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

REGISTERED = "worker registered"
"""What a worker logs when the SFU knows it, and may offer it rooms: whoever starts one waits for this line."""
STARTING_S = 60.0
"""An accepted job that has not started by then was given to another worker, or died on the way."""


@dataclass(slots=True)
class Admission:
    """The rooms of one worker: those that run, and those it has said yes to.

    livekit-agents guesses the load of a job that it has accepted; with few jobs its guess fills a worker too early.
    """

    max_rooms: int
    accepted_at_s: dict[str, float] = field(default_factory=dict)

    def admit(self, job_id: str, running: Collection[str], now_s: float) -> bool:
        """Return whether there is room for the job, and count it if so."""
        self.accepted_at_s = {
            job: at_s for job, at_s in self.accepted_at_s.items() if job not in running and now_s - at_s < STARTING_S
        }
        if len(running) + len(self.accepted_at_s) >= self.max_rooms:
            return False
        self.accepted_at_s[job_id] = now_s
        return True
