"""Store how the sending of each window went: its tries, its next try, its refusals. Holds all SQL of sending."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from cluster.costs.row_answers import DueRow, RowStep
from cluster.costs.storage.schema import USAGE
from cluster.costs.storage.shard_files import shard_paths
from cluster.costs.storage.windows import ROW, flush_row, mark_sent
from routing.models import FlushRow

TENANTS_A_PAGE = 100
ROWS_A_TENANT = 10
"""A page takes 10 windows of each of 100 tenants at most, so that it costs the same however many windows wait."""
BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sending (
    flush_id TEXT PRIMARY KEY, tries INTEGER NOT NULL, next_try_s REAL NOT NULL DEFAULT 0,
    alone INTEGER NOT NULL DEFAULT 0, refusals INTEGER NOT NULL DEFAULT 0, refused_since_s REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unexpected_duplicates (
    flush_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL,
    window_end_s REAL NOT NULL, cost_nanousd INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsent_by_tenant ON flushes (tenant_id, window)
    WHERE flush_id IS NOT NULL AND sent_at_s IS NULL AND refused IS NULL;
"""
_UNSENT = "flush_id IS NOT NULL AND sent_at_s IS NULL AND refused IS NULL"
_NEXT_TENANT = f"SELECT min(tenant_id) FROM flushes WHERE {_UNSENT} AND tenant_id > ?"
_STATE = ("tries", "refusals", "refused_since_s", "alone")
_DUE = f"""SELECT {", ".join((*_STATE, *ROW, *USAGE))} FROM flushes LEFT JOIN sending USING (flush_id)
    WHERE {_UNSENT} AND tenant_id = ? AND coalesce(next_try_s, 0) <= ? ORDER BY window LIMIT ?"""
_BEGIN = """INSERT INTO sending (flush_id, tries) VALUES (?, 1)
    ON CONFLICT (flush_id) DO UPDATE SET tries = tries + 1"""
_WAIT = "UPDATE sending SET next_try_s = ?, alone = ?, refusals = ?, refused_since_s = ? WHERE flush_id = ?"
# The tries stay above zero: a window that was sent once may be a duplicate.
_START_OVER = "UPDATE sending SET tries = 1, next_try_s = 0, alone = 0, refusals = 0, refused_since_s = NULL"
_PARKED = "SELECT flush_id FROM flushes WHERE refused IS NOT NULL AND tenant_id = coalesce(:tenant, tenant_id)"
_COLUMNS = "flush_id, tenant_id, service, model, window_end_s, cost_nanousd"
_SET_ASIDE = f"""SELECT {_COLUMNS}, 'parked' AS state, refused AS reason FROM flushes WHERE refused IS NOT NULL
    UNION ALL SELECT {_COLUMNS}, 'duplicate', '' FROM unexpected_duplicates ORDER BY tenant_id, window_end_s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingCounts:
    """The windows that are not sent, those parked among them, and the unexpected duplicates."""

    unsent_windows: int
    parked_windows: int
    unexpected_duplicates: int


class SendingTable:
    """The sending state of the windows in an open journal, on its connection, its thread and in its transactions."""

    def __init__(self, db: sqlite3.Connection, journal_id: str, epoch: str) -> None:
        """`epoch` is that of the journal's present opening."""
        self._db = db
        self._journal_id = journal_id
        self._epoch = epoch
        db.executescript(_SCHEMA)

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

    def _due_row(self, columns: Sequence[Any]) -> DueRow:
        tries, refusals, refused_since_s, alone = columns[: len(_STATE)]
        row = flush_row(columns[len(_STATE) :], self._journal_id)
        # A window from before this opening may have been sent after the backup that the journal was restored from.
        return DueRow(
            row=row,
            first_send=tries is None and row.epoch == self._epoch,
            tries=tries or 0,
            refusals=refusals or 0,
            refused_since_s=refused_since_s,
            alone=bool(alone),
        )

    def begin(self, flush_ids: Iterable[str]) -> None:
        """Count a try of each window. Commit it before the call, so that a crash within the call is no first send."""
        self._db.executemany(_BEGIN, [(flush_id,) for flush_id in flush_ids])

    def record(self, steps: Sequence[RowStep], now_s: float) -> None:
        """Write the step of each window of a call. A parked window is not sent again and still counts in the totals."""
        stored = [step.due.row.flush_id for step in steps if step.kind == "stored"]
        mark_sent(self._db, stored, now_s)
        self._db.executemany("DELETE FROM sending WHERE flush_id = ?", [(flush_id,) for flush_id in stored])
        alarms = [step.due.row for step in steps if step.alarm]
        self._db.executemany(
            "INSERT OR IGNORE INTO unexpected_duplicates VALUES (?, ?, ?, ?, ?, ?)", map(_named, alarms)
        )
        self._db.executemany(_WAIT, [_waiting(step) for step in steps if step.kind == "wait"])
        parked = [(step.reason, step.due.row.flush_id) for step in steps if step.kind == "park"]
        self._db.executemany("UPDATE flushes SET refused = ? WHERE flush_id = ?", parked)

    def retry_now(self) -> None:
        """End the wait of every window that is neither stored nor parked."""
        self._db.execute("UPDATE sending SET next_try_s = 0")

    def counts(self) -> SendingCounts:
        unsent = self._db.execute(f"SELECT count(*) FROM flushes WHERE {_UNSENT}").fetchone()[0]
        parked = self._db.execute("SELECT count(*) FROM flushes WHERE refused IS NOT NULL").fetchone()[0]
        duplicates = self._db.execute("SELECT count(*) FROM unexpected_duplicates").fetchone()[0]
        return SendingCounts(unsent_windows=unsent, parked_windows=parked, unexpected_duplicates=duplicates)


def _named(row: FlushRow) -> tuple[object, ...]:
    return row.flush_id, row.tenant_id, row.service, row.model, row.window_end_s, row.cost_nanousd


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
    rows: list[SetAsideWindow] = []
    for shard in shard_paths(path):
        with closing(sqlite3.connect(f"file:{shard}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as db:
            db.row_factory = sqlite3.Row
            rows += [SetAsideWindow(**dict(row)) for row in db.execute(_SET_ASIDE)]
    rows.sort(key=lambda row: row.tenant_id)
    return [row for row in rows if tenant_id in (None, row.tenant_id)]


def resend_parked(path: Path, tenant_id: str | None = None) -> int:
    """Make the parked windows of one tenant, or of all, due again with their flush ids; return their number."""
    return sum(_resend_parked(shard, tenant_id) for shard in shard_paths(path))


def _resend_parked(path: Path, tenant_id: str | None) -> int:
    with closing(_read_write(path)) as db, db:
        parked = {"tenant": tenant_id}
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"{_START_OVER} WHERE flush_id IN ({_PARKED})", parked)
        return db.execute(f"UPDATE flushes SET refused = NULL WHERE flush_id IN ({_PARKED})", parked).rowcount


def forget_duplicates(path: Path, tenant_id: str | None = None) -> int:
    """Take the unexpected duplicates of one tenant, or of all, off the list; return their number."""
    return sum(_forget_duplicates(shard, tenant_id) for shard in shard_paths(path))


def _forget_duplicates(path: Path, tenant_id: str | None) -> int:
    with closing(_read_write(path)) as db, db:
        mine = "tenant_id = coalesce(:tenant, tenant_id)"
        return db.execute(f"DELETE FROM unexpected_duplicates WHERE {mine}", {"tenant": tenant_id}).rowcount


def _read_write(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
