"""The table of settled events, numbered in the order of their booking. New rows are written once a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

from cluster.costs.models import EstimatedEvent, Knowledge
from cluster.costs.storage.booking_time import day_of, month_of_day
from cluster.costs.storage.open_events import OpenEvent
from cluster.costs.storage.schema import EVENT, FIGURES, IDENTITY, USAGE
from routing.models import Outcome, Settlement

usage_values = attrgetter(*USAGE)


def _insert(columns: Collection[str]) -> str:
    return f"INSERT INTO settled ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"


_BOOKED = ("booked_at_s", "day", "month", "outcome", "knowledge", "requests", "estimated", "cost_nanousd", *USAGE)
_BOOK = _insert(("event", "event_id", *IDENTITY, *_BOOKED))
_INSERT = _insert(("event", *EVENT))
_FIND = f"SELECT event, {', '.join(EVENT)} FROM settled WHERE event_id = ?"
_PRESENT = "SELECT event_id FROM settled WHERE event_id IN (SELECT value FROM json_each(?))"
_REPLACE = f"UPDATE settled SET {', '.join(f'{name} = ?' for name in FIGURES)} WHERE event = ?"
_IS_ESTIMATED = f"corrects IS NULL AND knowledge < {int(Knowledge.REPLICA_PARTIAL)}"
# Without it a start would read every event that is in no month file.
_INDEX = f"CREATE INDEX IF NOT EXISTS estimated_events ON settled (arrived_at_s) WHERE {_IS_ESTIMATED}"
_ESTIMATED = f"""SELECT event_id, outcome, knowledge, arrived_at_s, witnessed FROM settled
    WHERE {_IS_ESTIMATED} AND arrived_at_s > ? ORDER BY event"""


class SettledEvents:
    """The settled events that are in no month file.

    Call `write` at the end of a transaction, and `forget` after its rollback.
    """

    def __init__(self, db: sqlite3.Connection, last_event: int, sealed_event: int) -> None:
        """The arguments are the numbers of the newest event, and of the newest one that is in a window."""
        self._db = db
        self._booked: list[tuple[Any, ...]] = []
        self.last_event = last_event
        self.sealed_event = sealed_event
        db.execute(_INDEX)

    def book(
        self, event_id: str, opened: OpenEvent, settlement: Settlement, knowledge: Knowledge, booked_at_s: float
    ) -> int:
        """Add an event that was open; return the UTC day of its booking."""
        self.last_event += 1
        day, usage = day_of(booked_at_s), usage_values(settlement.usage)
        figures = (
            settlement.outcome.value,
            int(knowledge),
            1,
            int(settlement.estimated),
            settlement.cost_nanousd,
            *usage,
        )
        booking = (booked_at_s, day, month_of_day(day))
        self._booked.append((self.last_event, event_id, *opened[:-1], *booking, *figures))
        return day

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row with the columns EVENT, such as a correction."""
        self.write()
        self.last_event += 1
        self._db.execute(_INSERT, (self.last_event, *(row[name] for name in EVENT)))

    def replace(self, event: int, settlement: Settlement, knowledge: Knowledge) -> None:
        """Put better figures in the place of an event's."""
        figures = (settlement.outcome.value, int(knowledge), int(settlement.estimated), settlement.cost_nanousd)
        self._db.execute(_REPLACE, (*figures, *usage_values(settlement.usage), event))

    def find(self, event_id: str) -> dict[str, Any] | None:
        """Return an event with its number."""
        self.write()
        row = self._db.execute(_FIND, (event_id,)).fetchone()
        return None if row is None else dict(zip(("event", *EVENT), row, strict=True))

    def present(self, event_ids: Collection[str]) -> set[str]:
        """Return those of these ids that an event has, by one statement."""
        self.write()
        return {event_id for (event_id,) in self._db.execute(_PRESENT, (json.dumps(list(event_ids)),))}

    def write(self) -> None:
        """Write the new rows of this transaction."""
        if self._booked:
            rows, self._booked = self._booked, []
            self._db.executemany(_BOOK, rows)

    def forget(self) -> None:
        """Forget the new rows that were rolled back."""
        self._booked = []

    def estimated(self, since_s: float, until_s: float) -> list[EstimatedEvent]:
        """Return the events that arrived after `since_s` and that no report of their call has settled."""
        rows = self._db.execute(_ESTIMATED, (since_s,))
        return [
            EstimatedEvent(
                event_id=event_id,
                outcome=Outcome(outcome),
                known=Knowledge(knowledge),
                arrived_at_s=arrived_at_s,
                witnessed=bool(witnessed),
                until_s=until_s,
            )
            for event_id, outcome, knowledge, arrived_at_s, witnessed in rows
        ]
