"""Store how the sending of each window went: its tries, its next try, its refusals. Holds all SQL of sending."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from cluster.costs.row_answers import DueRow, RowStep
from routing.models import FlushRow

TENANTS_A_PAGE = 100
ROWS_A_TENANT = 10
"""A page visits 100 tenants and takes 10 windows of each, so that it costs the same however many windows wait."""
BUSY_TIMEOUT_S = 10.0

SENDING_SCHEMA = """
CREATE TABLE IF NOT EXISTS sending (
    flush_id TEXT PRIMARY KEY, tries INTEGER NOT NULL, next_try_s REAL NOT NULL DEFAULT 0,
    alone INTEGER NOT NULL DEFAULT 0, refusals INTEGER NOT NULL DEFAULT 0, refused_since_s REAL,
    duplicate INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unexpected_duplicates ON sending (flush_id) WHERE duplicate = 1;
CREATE INDEX IF NOT EXISTS unsent_by_tenant ON flushes (tenant_id, window_end_s)
    WHERE sent_at_s IS NULL AND refused IS NULL;
CREATE INDEX IF NOT EXISTS parked_flushes ON flushes (tenant_id) WHERE refused IS NOT NULL;
"""
_UNSENT = "sent_at_s IS NULL AND refused IS NULL"
_NEXT_TENANT = f"SELECT min(tenant_id) FROM flushes WHERE {_UNSENT} AND tenant_id > ?"
_ROW_FIELDS = [f.name for f in fields(FlushRow) if f.name != "journal_id"]
_DUE = f"""SELECT {", ".join(f"flushes.{name}" for name in _ROW_FIELDS)},
    coalesce(tries, 0), coalesce(refusals, 0), refused_since_s, coalesce(alone, 0)
    FROM flushes LEFT JOIN sending USING (flush_id)
    WHERE {_UNSENT} AND tenant_id = ? AND coalesce(next_try_s, 0) <= ? ORDER BY window_end_s LIMIT ?"""
_BEGIN = """INSERT INTO sending (flush_id, tries) VALUES (?, 1)
    ON CONFLICT (flush_id) DO UPDATE SET tries = tries + 1"""
_WAIT = "UPDATE sending SET next_try_s = ?, alone = ?, refusals = ?, refused_since_s = ? WHERE flush_id = ?"
_RETRY_NOW = f"UPDATE sending SET next_try_s = 0 WHERE flush_id IN (SELECT flush_id FROM flushes WHERE {_UNSENT})"
_PARKED = f"SELECT flush_id FROM flushes WHERE refused IS NOT NULL AND tenant_id = coalesce(:tenant, tenant_id)"
_SET_ASIDE = """
    SELECT flush_id, tenant_id, service, model, window_end_s, cost_nanousd, 'parked' AS state, refused AS reason
    FROM flushes WHERE refused IS NOT NULL
    UNION ALL
    SELECT flush_id, tenant_id, service, model, window_end_s, cost_nanousd, 'duplicate', ''
    FROM sending JOIN flushes USING (flush_id) WHERE duplicate = 1
    ORDER BY tenant_id, window_end_s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingCounts:
    """The windows that are not sent, those parked among them, and the unexpected duplicates."""

    unsent: int
    parked: int
    duplicates: int


class SendingTable:
    """The sending state of the windows in an open journal. It shares the journal's connection, thread and transactions."""

    def __init__(self, db: sqlite3.Connection, journal_id: str) -> None:
        self._db = db
        self._journal_id = journal_id
        db.executescript(SENDING_SCHEMA)

    def due(self, now_s: float, after_tenant: str = "") -> tuple[list[DueRow], str]:
        """Return the due windows of the tenants after `after_tenant`, and the last tenant; "" when all were visited.

        One tenant's windows lie between those of the others, the oldest first; windows that go alone come last.
        """
        by_tenant: list[list[DueRow]] = []
        for _ in range(TENANTS_A_PAGE):
            after_tenant = self._db.execute(_NEXT_TENANT, (after_tenant,)).fetchone()[0] or ""
            if not after_tenant:
                break
            rows = self._db.execute(_DUE, (after_tenant, now_s, ROWS_A_TENANT))
            by_tenant.append([self._due_row(row) for row in rows])
        mixed = [due for places in zip_longest(*by_tenant) for due in places if due is not None]
        return sorted(mixed, key=lambda due: due.alone), after_tenant

    def _due_row(self, row: Sequence[object]) -> DueRow:
        values = dict(zip(_ROW_FIELDS, row, strict=False))
        values |= {"usage": json.loads(str(values["usage"])), "simulated": bool(values["simulated"])}
        tries, refusals, refused_since_s, alone = row[len(_ROW_FIELDS) :]
        return DueRow(
            row=FlushRow(**values, journal_id=self._journal_id),  # type: ignore[arg-type]
            first_send=tries == 0,
            tries=int(str(tries)),
            refusals=int(str(refusals)),
            refused_since_s=None if refused_since_s is None else float(str(refused_since_s)),
            alone=bool(alone),
        )

    def begin(self, flush_ids: Iterable[str]) -> None:
        """Count a try of each window. Commit it before the call, so that a crash within the call is no first send."""
        self._db.executemany(_BEGIN, [(flush_id,) for flush_id in flush_ids])

    def record(self, steps: Sequence[RowStep], now_s: float) -> None:
        """Write the step of each window of a call. A parked window is not sent again and still counts in the totals."""
        stored = [step for step in steps if step.kind == "stored"]
        ids = [(step.due.row.flush_id,) for step in stored]
        self._db.executemany("UPDATE flushes SET sent_at_s = ? WHERE flush_id = ?", [(now_s, *one) for one in ids])
        self._db.executemany("DELETE FROM sending WHERE flush_id = ?", ids)
        self._db.executemany(
            "INSERT INTO sending (flush_id, tries, duplicate) VALUES (?, ?, 1)",
            [(step.due.row.flush_id, step.due.tries + 1) for step in stored if step.alarm],
        )
        self._db.executemany(_WAIT, [_waiting(step) for step in steps if step.kind == "wait"])
        parked = [(step.reason, step.due.row.flush_id) for step in steps if step.kind == "park"]
        self._db.executemany("UPDATE flushes SET refused = ? WHERE flush_id = ?", parked)

    def retry_now(self) -> None:
        """End the wait of every window that is neither stored nor parked."""
        self._db.execute(_RETRY_NOW)

    def counts(self) -> SendingCounts:
        unsent = self._db.execute(f"SELECT count(*) FROM flushes WHERE {_UNSENT}").fetchone()[0]
        parked = self._db.execute("SELECT count(*) FROM flushes WHERE refused IS NOT NULL").fetchone()[0]
        duplicates = self._db.execute("SELECT count(*) FROM sending WHERE duplicate = 1").fetchone()[0]
        return SendingCounts(unsent=unsent, parked=parked, duplicates=duplicates)


def _waiting(step: RowStep) -> tuple[object, ...]:
    due = step.due
    return step.next_try_s, int(due.alone), due.refusals, due.refused_since_s, due.row.flush_id


# The functions below open a connection of their own, for a command beside a running aggregator. Each raises
# sqlite3.Error for a file that is not a journal. A window's state is on disk alone, so the aggregator's next round
# reads their changes.


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideWindow:
    """A parked window, or one that was a duplicate on its first send and may be missing from the backend's bill."""

    flush_id: str
    tenant_id: str
    service: str
    model: str
    window_end_s: float
    cost_nanousd: int
    state: Literal["parked", "duplicate"]
    reason: str


def read_set_aside(path: Path, tenant_id: str | None = None) -> list[SetAsideWindow]:
    """Return the parked windows and the unexpected duplicates of one tenant or of all, by tenant, the oldest first."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as db:
        db.row_factory = sqlite3.Row
        rows = [SetAsideWindow(**dict(row)) for row in db.execute(_SET_ASIDE)]
    return [row for row in rows if tenant_id in (None, row.tenant_id)]


def resend_parked(path: Path, tenant_id: str | None = None) -> int:
    """Make the parked windows of one tenant, or of all, due again with their flush ids; return their number."""
    with closing(_read_write(path)) as db, db:
        parked = {"tenant": tenant_id}
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"DELETE FROM sending WHERE flush_id IN ({_PARKED})", parked)
        return db.execute(f"UPDATE flushes SET refused = NULL WHERE flush_id IN ({_PARKED})", parked).rowcount


def forget_duplicates(path: Path, tenant_id: str | None = None) -> int:
    """Take the unexpected duplicates of one tenant, or of all, off the list; return their number."""
    with closing(_read_write(path)) as db, db:
        mine = "flush_id IN (SELECT flush_id FROM flushes WHERE tenant_id = coalesce(:tenant, tenant_id))"
        deleted = db.execute(f"DELETE FROM sending WHERE duplicate = 1 AND {mine}", {"tenant": tenant_id})
        return deleted.rowcount


def _read_write(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
