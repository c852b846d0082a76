"""Keeps every cost event on disk before anyone hears of it. Knows SQLite, no clock and no network."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from routing.errors import ConfigurationError
from routing.models import FlushRow, Intent, Outcome, Settlement, Usage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (one INTEGER PRIMARY KEY CHECK (one = 1), journal_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, room TEXT NOT NULL, service TEXT NOT NULL, vendor TEXT NOT NULL,
    model TEXT NOT NULL, price_version TEXT NOT NULL, simulated INTEGER NOT NULL, estimate_nanousd INTEGER NOT NULL,
    opened_at_s REAL NOT NULL, expires_at_s REAL NOT NULL,
    outcome TEXT, cost_nanousd INTEGER, estimated INTEGER, usage TEXT, settled_at_s REAL, flush_id TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_events ON events (expires_at_s) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS unsealed_events ON events (tenant_id) WHERE outcome IS NOT NULL AND flush_id IS NULL;
CREATE TABLE IF NOT EXISTS flushes (
    flush_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL,
    seq INTEGER NOT NULL,
    window_start_s REAL NOT NULL, window_end_s REAL NOT NULL, requests INTEGER NOT NULL, usage TEXT NOT NULL,
    cost_nanousd INTEGER NOT NULL, cumulative_nanousd INTEGER NOT NULL, price_version TEXT NOT NULL,
    simulated INTEGER NOT NULL, estimated_requests INTEGER NOT NULL, sent_at_s REAL, refused TEXT,
    UNIQUE (tenant_id, service, model, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsent_flushes ON flushes (window_end_s) WHERE sent_at_s IS NULL AND refused IS NULL;
"""
_INTENT = """INSERT INTO events (event_id, tenant_id, room, service, vendor, model, price_version, simulated,
    estimate_nanousd, opened_at_s, expires_at_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (event_id) DO NOTHING"""
_SETTLE = """UPDATE events SET outcome = ?, cost_nanousd = ?, estimated = ?, usage = ?, settled_at_s = ?
    WHERE event_id = ?"""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement changed: the reservation it released, and the spend it added."""

    tenant_id: str
    released_nanousd: int
    added_nanousd: int


class JournalBusy(ConfigurationError):
    """Another process writes this journal."""

    code = "journal_busy"


class Journal:
    """The one writer of a cost journal: a SQLite file in WAL mode, synced on every commit.

    Raises JournalBusy when another process holds it. Not thread-safe: one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path.with_suffix(".lock"))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO journal VALUES (1, ?)", (str(uuid.uuid4()),))
        self.journal_id: str = self._db.execute("SELECT journal_id FROM journal").fetchone()[0]

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside as one, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def open(self, intent: Intent) -> bool:
        """Write an intent; False when its id is there already."""
        row = (intent.event_id, intent.tenant_id, intent.room, intent.service, intent.vendor, intent.model)
        money = (intent.price_version, int(intent.simulated), intent.estimate_nanousd)
        return self._db.execute(_INTENT, (*row, *money, intent.opened_at_s, intent.expires_at_s)).rowcount == 1

    def forget(self, event_id: str) -> None:
        """Take back an intent of this transaction."""
        self._db.execute("DELETE FROM events WHERE event_id = ?", (event_id,))

    def settle(self, settlement: Settlement) -> Settled | None:
        """Write what an intent came to; None when there is nothing to change: settled before, or never opened.

        An expired intent that is settled after all takes its real cost, unless its estimate is sealed already.
        """
        query = "SELECT tenant_id, estimate_nanousd, outcome, cost_nanousd, flush_id FROM events WHERE event_id = ?"
        found = self._db.execute(query, (settlement.event_id,)).fetchone()
        if found is None:
            return None
        tenant_id, estimate, outcome, cost_before, flush_id = found
        if outcome is not None and (outcome != Outcome.EXPIRED or flush_id is not None):
            return None
        values = (settlement.outcome, settlement.cost_nanousd, int(settlement.estimated), _dump(settlement.usage))
        self._db.execute(_SETTLE, (*values, settlement.settled_at_s, settlement.event_id))
        if outcome is None:
            return Settled(tenant_id, estimate, settlement.cost_nanousd)
        return Settled(tenant_id, 0, settlement.cost_nanousd - cost_before)

    def expired(self, now_s: float) -> list[Settlement]:
        """Return what the intents past their time come to: their estimate, and flagged so."""
        rows = self._db.execute(
            "SELECT event_id, estimate_nanousd FROM events WHERE outcome IS NULL AND expires_at_s <= ?", (now_s,)
        )
        return [
            Settlement(
                event_id=event_id,
                outcome=Outcome.EXPIRED,
                cost_nanousd=estimate,
                estimated=True,
                usage=Usage(),
                settled_at_s=now_s,
            )
            for event_id, estimate in rows
        ]

    def seal(self, now_s: float) -> int:
        """Gather every settled event that is in no window yet into one window for each (tenant, service, model).

        Returns how many windows were sealed. Call it inside a transaction.
        """
        groups: dict[tuple[str, str, str, str, int], list[sqlite3.Row]] = {}
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        for row in cursor.execute("SELECT * FROM events WHERE outcome IS NOT NULL AND flush_id IS NULL"):
            key = (row["tenant_id"], row["service"], row["model"], row["price_version"], row["simulated"])
            groups.setdefault(key, []).append(row)
        for key, rows in groups.items():
            self._seal_one(key, rows, now_s)
        return len(groups)

    def _seal_one(self, key: tuple[str, str, str, str, int], rows: list[sqlite3.Row], now_s: float) -> None:
        tenant_id, service, model, price_version, simulated = key
        last = self._db.execute(
            "SELECT seq, cumulative_nanousd FROM flushes WHERE tenant_id = ? AND service = ? AND model = ?"
            " ORDER BY seq DESC LIMIT 1",
            (tenant_id, service, model),
        ).fetchone()
        seq, before = (last[0] + 1, last[1]) if last else (1, 0)
        # The same window gets the same id however often it is sent; another journal's never does.
        flush_id = str(uuid.uuid5(uuid.UUID(self.journal_id), f"{tenant_id}|{service}|{model}|{seq}"))
        cost = sum(row["cost_nanousd"] for row in rows)
        usage = sum((_load(row["usage"]) for row in rows), Usage())
        start = min(row["settled_at_s"] for row in rows)
        names = (flush_id, tenant_id, service, model, seq)
        window = (start, max(start, now_s), len(rows), _dump(usage), cost, before + cost)
        flags = (price_version, simulated, sum(row["estimated"] for row in rows))
        self._db.execute(
            "INSERT INTO flushes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            (*names, *window, *flags),
        )
        self._db.executemany(
            "UPDATE events SET flush_id = ? WHERE event_id = ?", [(flush_id, row["event_id"]) for row in rows]
        )

    def unsent(self, limit: int) -> tuple[FlushRow, ...]:
        """Return the oldest sealed windows the backend has not acknowledged."""
        names = [f.name for f in fields(FlushRow) if f.name != "journal_id"]
        rows = self._db.execute(
            f"SELECT {', '.join(names)} FROM flushes WHERE sent_at_s IS NULL AND refused IS NULL"
            " ORDER BY window_end_s, tenant_id, service, model, seq LIMIT ?",
            (limit,),
        )
        return tuple(self._flush_row(dict(zip(names, row, strict=True))) for row in rows)

    def _flush_row(self, row: dict[str, object]) -> FlushRow:
        row |= {"usage": json.loads(str(row["usage"])), "simulated": bool(row["simulated"])}
        return FlushRow(**row, journal_id=self.journal_id)  # type: ignore[arg-type]

    def mark_sent(self, flush_ids: Iterable[str], now_s: float) -> None:
        self._db.executemany("UPDATE flushes SET sent_at_s = ? WHERE flush_id = ?", [(now_s, i) for i in flush_ids])

    def park(self, refused: dict[str, str]) -> None:
        """Set aside windows the backend will never take; they stay in the totals and in the report."""
        self._db.executemany("UPDATE flushes SET refused = ? WHERE flush_id = ?", [(r, i) for i, r in refused.items()])

    def rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, object]]:
        """Return the rows of a read as dicts."""
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        return [dict(row) for row in cursor.execute(query, values)]


def _locked(path: Path) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise JournalBusy(f"{path.name} is held by another process; one aggregator writes one journal.") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _dump(usage: Usage) -> str:
    return json.dumps(usage.nonzero(), sort_keys=True)


def _load(usage: str) -> Usage:
    return Usage(**json.loads(usage))
