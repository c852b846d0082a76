"""The slots and the queue of one deployment, tick by tick. A request is a number in an array, not an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario.arrivals import Floats, Ints

MAX_TICKS = 4_096
"""The ticks after which the calendar of finish times wraps around; no request takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequests:
    """A set of requests: due times, send times and rooms."""

    due_s: Floats
    sent_s: Floats
    room: Ints

    def __len__(self) -> int:
        return len(self.due_s)

    def part(self, selection: slice | Ints | NDArray[np.bool_]) -> QueuedRequests:
        return QueuedRequests(due_s=self.due_s[selection], sent_s=self.sent_s[selection], room=self.room[selection])

    def split(self, at: int) -> tuple[QueuedRequests, QueuedRequests]:
        """Return the first `at` requests, and the rest."""
        return self.part(slice(None, at)), self.part(slice(at, None))

    def concat(self, other: QueuedRequests) -> QueuedRequests:
        if not len(self):
            return other
        if not len(other):
            return self
        return QueuedRequests(
            due_s=np.concatenate([self.due_s, other.due_s]),
            sent_s=np.concatenate([self.sent_s, other.sent_s]),
            room=np.concatenate([self.room, other.room]),
        )

    def ordered(self) -> QueuedRequests:
        """Return both sets in the order of sending."""
        return self.part(np.argsort(self.sent_s, kind="stable"))


NO_REQUESTS = QueuedRequests(due_s=np.empty(0), sent_s=np.empty(0), room=np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequests:
    """The outcome of one tick: requests that start, are shed, or waited too long."""

    started: QueuedRequests
    shed: QueuedRequests
    expired: QueuedRequests


class RequestQueue:
    """The slots of all running replicas as one pool: Serve's router finds a free one anywhere."""

    def __init__(self, slots_of_replica: int, max_queued: int, max_wait_s: float) -> None:
        """`max_queued` counts all handles together; a negative value means an unbounded queue."""
        self._slots = slots_of_replica
        self._max_queued, self._max_wait_s = max_queued, max_wait_s
        self._calendar = np.zeros(MAX_TICKS, dtype=np.int64)
        self._tick = 0
        self.queue = NO_REQUESTS
        self.in_service = 0
        """Requests at replicas that accept requests."""
        self.draining = 0
        """Requests at stopping replicas: they are answered, but their slots are not reused."""
        self._draining_calendar = np.zeros(MAX_TICKS, dtype=np.int64)

    @property
    def load(self) -> int:
        return self.in_service + self.draining + len(self.queue)

    def advance(self) -> None:
        """Advance to the next tick; requests that end in it free their slots."""
        self._tick += 1
        at = self._tick % MAX_TICKS
        self.in_service -= int(self._calendar[at])
        self.draining -= int(self._draining_calendar[at])
        self._calendar[at] = self._draining_calendar[at] = 0

    def stop(self, stopped: int, running_before: int, rng: np.random.Generator) -> None:
        """Remove replicas; each one holds an even part of the requests in service."""
        moved = rng.binomial(self._calendar, min(1.0, stopped / running_before))
        self._calendar -= moved
        self._draining_calendar += moved
        count = int(moved.sum())
        self.in_service, self.draining = self.in_service - count, self.draining + count

    def admit(self, arrivals: QueuedRequests, running: int, now_s: float) -> AdmittedRequests:
        """Fill the free slots from the queue, then from the arrivals; queue the rest up to the bound."""
        expired_count = int(np.searchsorted(self.queue.sent_s, now_s - self._max_wait_s))
        expired, waiting = self.queue.split(expired_count)
        free = max(0, running * self._slots - self.in_service)
        started, queue = waiting.concat(arrivals).split(free)
        shed = NO_REQUESTS
        if 0 <= self._max_queued < len(queue):
            # Waiting requests keep their place; the last arrivals are shed.
            queue, shed = queue.split(max(self._max_queued, len(waiting) - len(started)))
        self.queue = queue
        return AdmittedRequests(started=started, shed=shed, expired=expired)

    def serve(self, durations_s: Floats, starts_s: Floats, now_s: float, tick_s: float) -> None:
        """Record the end of each request that begins. Its slot is freed at the nearest tick."""
        ticks = np.rint((starts_s + durations_s - now_s) / tick_s).astype(np.int64)
        ticks = np.clip(ticks, 1, MAX_TICKS - 1)
        counts = np.bincount((self._tick + ticks) % MAX_TICKS, minlength=MAX_TICKS)
        self._calendar += counts
        self.in_service += len(ticks)
