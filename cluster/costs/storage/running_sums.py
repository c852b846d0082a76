"""Keep the sums of events in tables of their own, so that no reader has to add up events."""

from __future__ import annotations

import sqlite3

_ADD_TOTAL = """INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET
    cost_nanousd = cost_nanousd + excluded.cost_nanousd, requests = requests + excluded.requests,
    estimated = estimated + excluded.estimated"""
_ADD_DAY = (
    "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET cost_nanousd = cost_nanousd + excluded.cost_nanousd"
)
_ADD_RESERVED = """INSERT INTO reserved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
    estimate_nanousd = estimate_nanousd + excluded.estimate_nanousd, intents = intents + excluded.intents"""
_SPENT = "SELECT tenant_id, sum(cost_nanousd) FROM days WHERE day >= ? GROUP BY tenant_id"
# A restored journal books after its restore: `restored_at_s` parts its costs from those of the lost one.
_LAST_BOOKED = """SELECT max(coalesce((SELECT booked_at_s FROM settled ORDER BY event DESC LIMIT 1), 0),
    coalesce((SELECT max(day) FROM days), 0) * 86400.0,
    (SELECT iif(restored_at_s > 0, restored_at_s + 0.001, 0) FROM journal))"""


class SumChanges:
    """What a transaction adds to the running sums. Call `write` at its end, and `forget` after its rollback."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._totals: dict[tuple[str, str, str, int], list[int]] = {}
        self._days: dict[tuple[int, str], int] = {}
        self._reserved: dict[str, list[int]] = {}

    def reserve(self, tenant_id: str, estimate_nanousd: int, intents: int) -> None:
        sums = self._reserved.get(tenant_id)
        if sums is None:
            sums = self._reserved[tenant_id] = [0, 0]
        sums[0] += estimate_nanousd
        sums[1] += intents

    def book(self, key: tuple[str, str, str, int], day: int, cost_nanousd: int, requests: int, estimated: int) -> None:
        sums = self._totals.get(key)
        if sums is None:
            sums = self._totals[key] = [0, 0, 0]
        sums[0] += cost_nanousd
        sums[1] += requests
        sums[2] += estimated
        of_day = (day, key[0])
        self._days[of_day] = self._days.get(of_day, 0) + cost_nanousd

    def write(self) -> None:
        self._db.executemany(_ADD_TOTAL, [(*key, *sums) for key, sums in self._totals.items()])
        self._db.executemany(_ADD_DAY, [(*key, cost) for key, cost in self._days.items()])
        self._db.executemany(_ADD_RESERVED, [(tenant_id, *sums) for tenant_id, sums in self._reserved.items()])
        self.forget()

    def forget(self) -> None:
        self._totals, self._days, self._reserved = {}, {}, {}


def spent_nanousd(db: sqlite3.Connection, since_day: int) -> dict[str, int]:
    """Return each tenant's booked costs since a UTC day."""
    return {str(name): int(cost) for name, cost in db.execute(_SPENT, (since_day,))}


def last_booked_s(db: sqlite3.Connection) -> float:
    """Return the booking time of the newest event; 0 for a new journal."""
    return float(db.execute(_LAST_BOOKED).fetchone()[0])
