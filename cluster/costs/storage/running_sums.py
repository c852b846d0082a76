"""Keep the sums of events in tables of their own, so that no reader has to add up events."""

from __future__ import annotations

import sqlite3
from collections import Counter

_ADD_TOTAL = """INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET
    cost_nanousd = cost_nanousd + excluded.cost_nanousd, requests = requests + excluded.requests,
    estimated = estimated + excluded.estimated"""
_ADD_DAY = (
    "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cost_nanousd = cost_nanousd + excluded.cost_nanousd"
)
_ADD_RESERVED = """INSERT INTO reserved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
    estimate_nanousd = estimate_nanousd + excluded.estimate_nanousd, intents = intents + excluded.intents"""
_SPENT = "SELECT tenant_id, sum(cost_nanousd) FROM days WHERE day >= ? GROUP BY tenant_id"
_RESERVED = "SELECT tenant_id, estimate_nanousd FROM reserved"
_LAST_BOOKED = """SELECT max(coalesce((SELECT booked_at_s FROM settled ORDER BY event DESC LIMIT 1), 0),
    coalesce((SELECT max(day) FROM days), 0) * 86400.0)"""


class SumChanges:
    """What a transaction adds to the running sums: written once at its end, not once for each event."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str, str, int], Counter[str]] = {}
        self.days: Counter[tuple[int, str]] = Counter()
        self.reserved: Counter[str] = Counter()
        self.intents: Counter[str] = Counter()

    def reserve(self, tenant_id: str, estimate_nanousd: int, intents: int) -> None:
        self.reserved[tenant_id] += estimate_nanousd
        self.intents[tenant_id] += intents

    def book(self, key: tuple[str, str, str, int], day: int, cost_nanousd: int, requests: int, estimated: int) -> None:
        total = self.totals.setdefault(key, Counter())
        total["cost"] += cost_nanousd
        total["requests"] += requests
        total["estimated"] += estimated
        self.days[day, key[0]] += cost_nanousd

    def write(self, db: sqlite3.Connection) -> None:
        totals = self.totals.items()
        db.executemany(_ADD_TOTAL, [(*key, one["cost"], one["requests"], one["estimated"]) for key, one in totals])
        db.executemany(_ADD_DAY, [(*key, cost) for key, cost in self.days.items()])
        reserved = self.reserved.items()
        db.executemany(_ADD_RESERVED, [(name, amount, self.intents[name]) for name, amount in reserved])


def spent_nanousd(db: sqlite3.Connection, since_day: int) -> dict[str, int]:
    """Return each tenant's booked costs since a UTC day."""
    return {str(name): int(cost) for name, cost in db.execute(_SPENT, (since_day,))}


def reserved_nanousd(db: sqlite3.Connection) -> dict[str, int]:
    """Return the sum of the estimates of each tenant's open intents."""
    return {str(name): int(estimates) for name, estimates in db.execute(_RESERVED)}


def last_booked_s(db: sqlite3.Connection) -> float:
    """Return the booking time of the newest event; 0 for a new journal."""
    return float(db.execute(_LAST_BOOKED).fetchone()[0])
