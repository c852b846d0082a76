"""The table of open events. Its newest rows are in memory too, and its changes are written once a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from cluster.costs.models import OpenIntent
from routing.models import Intent

MAX_IN_MEMORY = 50_000
"""Rows kept in memory, about 1 kB each: those of older events are read when their settlements come."""


class OpenEvent(NamedTuple):
    """The row of an open event, without its id: the columns of IDENTITY, then its expiry."""

    tenant_id: str
    room: str
    participant: str
    request_id: str
    service: str
    vendor: str
    model: str
    price_version: str
    simulated: int
    estimate_nanousd: int
    witnessed: int
    opened_at_s: float
    arrived_at_s: float
    expires_at_s: float


_COLUMNS = ", ".join(("event_id", *OpenEvent._fields))
_ADD = f"INSERT INTO open_events ({_COLUMNS}) VALUES (?{', ?' * len(OpenEvent._fields)})"
_DELETE = "DELETE FROM open_events WHERE event_id = ?"
_FIND = f"SELECT {_COLUMNS} FROM open_events WHERE event_id IN (SELECT value FROM json_each(?))"
_EXPIRED = """SELECT event_id, tenant_id, model, estimate_nanousd, arrived_at_s, witnessed FROM open_events
    WHERE expires_at_s <= ? ORDER BY expires_at_s LIMIT ?"""
_ESTIMATES = "SELECT tenant_id, room, sum(estimate_nanousd) FROM open_events GROUP BY tenant_id, room"
_COST_SHARES = """SELECT model, min(1.0, 1.0 * sum(cost_nanousd) / sum(estimate_nanousd)) FROM (
        SELECT model, cost_nanousd, estimate_nanousd, outcome, estimated, requests FROM settled
        ORDER BY event DESC LIMIT 1000)
    WHERE outcome = 'ok' AND estimated = 0 AND requests = 1 AND estimate_nanousd > 0 GROUP BY model"""


def open_event(intent: Intent, arrived_at_s: float, expires_at_s: float) -> OpenEvent:
    """Return the row of an intent that arrives."""
    return OpenEvent(
        intent.tenant_id,
        intent.room,
        intent.participant,
        intent.request_id,
        intent.service,
        intent.vendor,
        intent.model,
        intent.price_version,
        # SQLite's module binds a plain integer faster than a bool.
        int(intent.simulated),
        intent.estimate_nanousd,
        int(intent.witnessed),
        intent.opened_at_s,
        arrived_at_s,
        expires_at_s,
    )


class OpenEvents:
    """The open events of one journal. Call `write` at the end of a transaction, and `forget` after its rollback."""

    def __init__(self, db: sqlite3.Connection, max_in_memory: int = MAX_IN_MEMORY) -> None:
        self._db = db
        self._max_in_memory = max_in_memory
        self._events: dict[str, OpenEvent] = {}
        self._added: dict[str, OpenEvent] = {}
        self._removed: list[str] = []

    def load(self, event_ids: Iterable[str]) -> None:
        """Read those of these events into memory that are open and not there, by one statement."""
        missing = [event_id for event_id in event_ids if event_id not in self._events]
        if missing:
            removed = set(self._removed)
            for event_id, *values in self._db.execute(_FIND, (json.dumps(missing),)):
                if event_id not in removed:
                    self._events[event_id] = OpenEvent(*values)

    def __contains__(self, event_id: str) -> bool:
        """Return whether an event is in memory: it is open then."""
        return event_id in self._events

    def add(self, event_id: str, event: OpenEvent) -> None:
        self._events[event_id] = self._added[event_id] = event

    def take(self, event_id: str) -> OpenEvent | None:
        """Remove an event and return it; None if it is not open."""
        event = self._events.pop(event_id, None)
        if event is None:
            self.load((event_id,))
            event = self._events.pop(event_id, None)
        if event is not None and self._added.pop(event_id, None) is None:
            self._removed.append(event_id)
        return event

    def write(self) -> None:
        """Write the changes of this transaction. An event that was added and removed in it leaves no trace."""
        # Removed first: an event may be added again.
        self._db.executemany(_DELETE, [(event_id,) for event_id in self._removed])
        self._db.executemany(_ADD, [(event_id, *event) for event_id, event in self._added.items()])
        self._removed, self._added = [], {}
        for event_id in list(islice(self._events, max(0, len(self._events) - self._max_in_memory))):
            del self._events[event_id]

    def forget(self) -> None:
        """Forget the changes that were rolled back, and with them all that is in memory."""
        self._events, self._added, self._removed = {}, {}, []

    def estimates(self) -> list[tuple[str, str, int]]:
        """Return the sum of the written events' estimates for each tenant and room."""
        return self._db.execute(_ESTIMATES).fetchall()

    def expired(self, now_s: float, limit: int) -> list[OpenIntent]:
        """Return the events past their expiry, the oldest first. They must be written already."""
        rows = self._db.execute(_EXPIRED, (now_s, limit)).fetchall()
        shares = dict(self._db.execute(_COST_SHARES)) if rows else {}
        return [
            OpenIntent(
                event_id=event_id,
                tenant_id=tenant_id,
                expected_nanousd=round(estimate_nanousd * shares.get(model, 1.0)),
                arrived_at_s=arrived_at_s,
                witnessed=bool(witnessed),
            )
            for event_id, tenant_id, model, estimate_nanousd, arrived_at_s, witnessed in rows
        ]
