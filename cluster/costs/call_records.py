"""Hold the model replicas' call records until the attempt's cost is final, in memory and within bounds."""

from __future__ import annotations

import threading

from cluster.costs.models import EstimatedEvent
from cluster.costs.witnesses import better_record
from routing.models import CallRecord

MAX_RECORDS = 200_000
"""Records that are kept: more than a minute of calls at the rate that one aggregator commits."""
MAX_FINAL = 50_000
"""Events whose cost is final: their late records are ignored."""
LONGEST_LIFETIME_S = 3_600.0
"""Longer than any attempt lasts, with its grace."""
WATCH_S = 15.0
"""How often an estimated event is looked at again for a better report, until its longest lifetime is over.

Soon enough that most attempts are proven never to have left before a later fault breaks the proof.
"""


class CallRecordStore:
    """The records by event id, and the estimated events. Any thread may call it."""

    def __init__(self, max_records: int = MAX_RECORDS) -> None:
        self._max_records = max_records
        self._lock = threading.Lock()
        self._records: dict[str, tuple[CallRecord, float]] = {}
        self._estimated: dict[str, EstimatedEvent] = {}
        self._reported: dict[str, None] = {}
        self._final: dict[str, None] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: CallRecord, now_s: float) -> None:
        """Keep a record, or the better of it and the one that is kept. The oldest ones are dropped over the bound."""
        event_id = record.event_id
        with self._lock:
            if event_id in self._final:
                return
            held = self._records.get(event_id)
            self._records[event_id] = (record, now_s) if held is None else (better_record(held[0], record), held[1])
            if record.ended and event_id in self._estimated:
                self._reported[event_id] = None
            if len(self._records) > self._max_records:
                self.dropped += 1
                del self._records[next(iter(self._records))]

    def find(self, event_id: str) -> CallRecord | None:
        """Return the record of an event."""
        with self._lock:
            held = self._records.get(event_id)
        return None if held is None else held[0]

    def watch(self, event: EstimatedEvent) -> None:
        """Wait for a better report of an event that was settled at an estimate."""
        with self._lock:
            # Moved to the end: the events are in the order of `until_s`.
            self._estimated.pop(event.event_id, None)
            self._estimated[event.event_id] = event
            held = self._records.get(event.event_id)
            if held is not None and held[0].ended:
                self._reported[event.event_id] = None
            if len(self._estimated) > self._max_records:
                self.dropped += 1
                self._forget(next(iter(self._estimated)))

    def close(self, event_id: str) -> None:
        """Forget an event: its cost is final, or is no longer waited for."""
        with self._lock:
            self._forget(event_id)
            self._final[event_id] = None
            if len(self._final) > MAX_FINAL:
                del self._final[next(iter(self._final))]

    def _forget(self, event_id: str) -> None:
        for kept in (self._records, self._estimated, self._reported):
            kept.pop(event_id, None)

    def due(self, now_s: float, limit: int) -> list[tuple[EstimatedEvent, CallRecord | None]]:
        """Return estimated events with their records: those that an ended record reports, and those that are due.

        They are returned again until they are closed or watched anew.
        """
        with self._lock:
            self._forget_old(now_s)
            event_ids = list(self._reported)[:limit]
            for event_id, event in self._estimated.items():
                if event.until_s > now_s or len(event_ids) >= limit:
                    break
                if event_id not in self._reported:
                    event_ids.append(event_id)
            return [(self._estimated[one], self._records.get(one, (None,))[0]) for one in event_ids]

    def _forget_old(self, now_s: float) -> None:
        while self._records:
            event_id = next(iter(self._records))
            if now_s - self._records[event_id][1] < LONGEST_LIFETIME_S:
                return
            del self._records[event_id]
