"""Store the budget alerts until they are delivered, each once. Holds their SQL."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.costs.models import BudgetAlert

_ALERTS = uuid.UUID("3f1f8c7e-8c54-5d3d-9b0f-52a1c7a6e90b")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS budget_alerts (
    alert_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, budget TEXT NOT NULL, period TEXT NOT NULL,
    threshold REAL NOT NULL, spent_nanousd INTEGER NOT NULL, limit_nanousd INTEGER NOT NULL, raised_at_s REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, next_try_s REAL NOT NULL DEFAULT 0, done_at_s REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due_alerts ON budget_alerts (next_try_s) WHERE done_at_s IS NULL;
"""
_ALERT = ("tenant_id", "budget", "period", "threshold", "spent_nanousd", "limit_nanousd", "raised_at_s")
_ADD = f"INSERT OR IGNORE INTO budget_alerts (alert_id, {', '.join(_ALERT)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DUE = f"""SELECT alert_id, tries, {", ".join(_ALERT)} FROM budget_alerts
    WHERE done_at_s IS NULL AND next_try_s <= ? ORDER BY next_try_s, raised_at_s, threshold LIMIT ?"""
_FORGET = "DELETE FROM budget_alerts WHERE done_at_s < ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAlert:
    """An alert that is to be delivered now, and how often that was tried."""

    alert_id: str
    alert: BudgetAlert
    tries: int


class AlertTable:
    """The alerts of one journal. An alert that is delivered stays for its period, so that it is raised once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)

    def add(self, alerts: Iterable[BudgetAlert]) -> None:
        """Add alerts inside of the transaction that raised them; one of an id that is present changes nothing."""
        self._db.executemany(_ADD, [(alert_id(one), *(getattr(one, name) for name in _ALERT)) for one in alerts])

    def due(self, now_s: float, limit: int) -> list[DueAlert]:
        return [
            DueAlert(alert_id=id_, tries=tries, alert=BudgetAlert(**dict(zip(_ALERT, values, strict=True))))
            for id_, tries, *values in self._db.execute(_DUE, (now_s, limit))
        ]

    def done(self, id_: str, now_s: float) -> None:
        """Record that an alert is delivered, or given up."""
        self._db.execute("UPDATE budget_alerts SET done_at_s = ? WHERE alert_id = ?", (now_s, id_))

    def retry(self, id_: str, next_try_s: float) -> None:
        self._db.execute(
            "UPDATE budget_alerts SET tries = tries + 1, next_try_s = ? WHERE alert_id = ?", (next_try_s, id_)
        )

    def unsent(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM budget_alerts WHERE done_at_s IS NULL").fetchone()
        return int(count)

    def forget(self, done_before_s: float) -> None:
        """Delete the alerts that were delivered before a time."""
        self._db.execute(_FORGET, (done_before_s,))


def alert_id(alert: BudgetAlert) -> str:
    """Return the idempotency key of an alert: one tenant, period and threshold has one, however often it is raised."""
    return str(uuid.uuid5(_ALERTS, f"{alert.tenant_id}|{alert.period}|{alert.threshold:g}"))
