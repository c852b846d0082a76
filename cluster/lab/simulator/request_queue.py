"""The slots and the queue of one deployment, tick by tick. A request is a number in an array, not an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario.arrivals import Floats, Ints

LONGEST_TICKS = 4_096
"""The ticks after which the calendar of finish times wraps around; no request takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequests:
    """A set of requests: due times, send times and rooms."""

    due_s: Floats
    sent_s: Floats
    room: Ints

    def __len__(self) -> int:
        return len(self.due_s)

    def part(self, which: slice | Ints | NDArray[np.bool_]) -> QueuedRequests:
        return QueuedRequests(due_s=self.due_s[which], sent_s=self.sent_s[which], room=self.room[which])

    def cut(self, at: int) -> tuple[QueuedRequests, QueuedRequests]:
        """Return the first `at` requests, and the rest."""
        return self.part(slice(None, at)), self.part(slice(at, None))

    def then(self, later: QueuedRequests) -> QueuedRequests:
        if not len(self):
            return later
        if not len(later):
            return self
        return QueuedRequests(
            due_s=np.concatenate([self.due_s, later.due_s]),
            sent_s=np.concatenate([self.sent_s, later.sent_s]),
            room=np.concatenate([self.room, later.room]),
        )

    def ordered(self) -> QueuedRequests:
        """Return both sets in the order of sending."""
        return self.part(np.argsort(self.sent_s, kind="stable"))


NONE = QueuedRequests(due_s=np.empty(0), sent_s=np.empty(0), room=np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequests:
    """The outcome of one tick: requests that begin, are turned away, or waited too long."""

    begun: QueuedRequests
    shed: QueuedRequests
    expired: QueuedRequests


class RequestQueue:
    """The slots of all running replicas as one pool: Serve's router finds a free one anywhere."""

    def __init__(self, slots_of_replica: int, most_queued: int, longest_wait_s: float) -> None:
        """`most_queued` counts all handles together; a negative value means an unbounded queue."""
        self._slots = slots_of_replica
        self._most_queued, self._longest_wait_s = most_queued, longest_wait_s
        self._calendar = np.zeros(LONGEST_TICKS, dtype=np.int64)
        self._tick = 0
        self.queue = NONE
        self.in_service = 0
        """Requests at replicas that accept requests."""
        self.draining = 0
        """Requests at stopping replicas: they are answered, and their slots are gone."""
        self._leaving = np.zeros(LONGEST_TICKS, dtype=np.int64)

    @property
    def load(self) -> int:
        return self.in_service + self.draining + len(self.queue)

    def turn(self) -> None:
        """Advance to the next tick; requests that end in it free their slots."""
        self._tick += 1
        at = self._tick % LONGEST_TICKS
        self.in_service -= int(self._calendar[at])
        self.draining -= int(self._leaving[at])
        self._calendar[at] = self._leaving[at] = 0

    def stop(self, stopped: int, running_before: int, rng: np.random.Generator) -> None:
        """Remove replicas; each one holds an even part of the requests in service."""
        moved = rng.binomial(self._calendar, min(1.0, stopped / running_before))
        self._calendar -= moved
        self._leaving += moved
        count = int(moved.sum())
        self.in_service, self.draining = self.in_service - count, self.draining + count

    def admit(self, arrived: QueuedRequests, running: int, now_s: float) -> AdmittedRequests:
        """Fill the free slots from the queue, then from the arrivals; queue the rest up to the bound."""
        waited_out = int(np.searchsorted(self.queue.sent_s, now_s - self._longest_wait_s))
        expired, waiting = self.queue.cut(waited_out)
        free = max(0, running * self._slots - self.in_service)
        begun, queue = waiting.then(arrived).cut(free)
        shed = NONE
        if 0 <= self._most_queued < len(queue):
            # Waiting requests keep their place; the last arrivals are turned away.
            queue, shed = queue.cut(max(self._most_queued, len(waiting) - len(begun)))
        self.queue = queue
        return AdmittedRequests(begun=begun, shed=shed, expired=expired)

    def serve(self, lasts_s: Floats, begins_s: Floats, now_s: float, tick_s: float) -> None:
        """Record the end of each request that begins. Its slot is freed at the nearest tick."""
        ticks = np.rint((begins_s + lasts_s - now_s) / tick_s).astype(np.int64)
        ticks = np.clip(ticks, 1, LONGEST_TICKS - 1)
        counts = np.bincount((self._tick + ticks) % LONGEST_TICKS, minlength=LONGEST_TICKS)
        self._calendar += counts
        self.in_service += len(ticks)
