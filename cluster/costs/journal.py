"""Store every cost event on disk before it is acknowledged. Holds all SQL of the journal."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cluster.costs.ledger import Account, Ledger, month_of, month_start_s
from cluster.costs.models import SettledEvent, SettledIntent
from cluster.costs.sending import SendingTable
from routing.errors import ConfigurationError
from routing.models import Intent, Outcome, Service, Settlement, TenantTotals, Usage

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
_ACCOUNTS = """SELECT tenant_id, sum(CASE WHEN settled_at_s >= ? THEN cost_nanousd ELSE 0 END),
    sum(CASE WHEN outcome IS NULL THEN estimate_nanousd ELSE 0 END) FROM events GROUP BY tenant_id"""
# A sealed event counts within its window; an event that is settled but not sealed counts by itself.
_BY_MODEL = """
SELECT service, model, max(simulated) AS simulated, sum(requests) AS requests, sum(estimated) AS estimated_requests,
       sum(cost) AS cost_nanousd, sum(sent) AS sent_nanousd
FROM (
    SELECT service, model, simulated, requests, estimated_requests AS estimated, cost_nanousd AS cost,
           CASE WHEN sent_at_s IS NULL THEN 0 ELSE cost_nanousd END AS sent
    FROM flushes WHERE tenant_id = :tenant
    UNION ALL
    SELECT service, model, simulated, 1, estimated, cost_nanousd, 0
    FROM events WHERE tenant_id = :tenant AND outcome IS NOT NULL AND flush_id IS NULL
) GROUP BY service, model ORDER BY service, model"""
_RESERVED = "SELECT total(estimate_nanousd) FROM events WHERE outcome IS NULL AND tenant_id = :tenant"
_OPEN = "SELECT count(*) FROM events WHERE outcome IS NULL"
_SETTLED_BY_TENANT = "SELECT tenant_id, sum(cost_nanousd) FROM events WHERE outcome IS NOT NULL GROUP BY tenant_id"
_SETTLED_EVENTS = """SELECT tenant_id, service, model, outcome, cost_nanousd, usage FROM events
    WHERE outcome IS NOT NULL AND service = coalesce(:service, service)"""


class JournalBusy(ConfigurationError):
    """Another process writes this journal."""

    code = "journal_busy"


class Journal:
    """The one writer of a cost journal: a SQLite file in WAL mode, synced on every commit.

    Raises JournalBusy while another process holds it. Not thread-safe: call it from one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _acquire_lock(path.with_suffix(".lock"))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL would sync at checkpoints only, and a power cut would lose entries that were acknowledged.
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO journal VALUES (1, ?)", (str(uuid.uuid4()),))
        self.journal_id: str = self._db.execute("SELECT journal_id FROM journal").fetchone()[0]
        self.sending = SendingTable(self._db, self.journal_id)

    def close(self) -> None:
        self._db.close()
        self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block as one, or none of them when it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def add_intent(self, intent: Intent) -> bool:
        """Insert an intent; return False when its event id is present already."""
        row = (intent.event_id, intent.tenant_id, intent.room, intent.service, intent.vendor, intent.model)
        money = (intent.price_version, int(intent.simulated), intent.estimate_nanousd)
        return self._db.execute(_INTENT, (*row, *money, intent.opened_at_s, intent.expires_at_s)).rowcount == 1

    def remove_intent(self, event_id: str) -> None:
        """Delete an intent that was added in this transaction."""
        self._db.execute("DELETE FROM events WHERE event_id = ?", (event_id,))

    def settle(self, settlement: Settlement) -> SettledIntent | None:
        """Write a settlement. Return None when there is nothing to change: the intent is settled or was never opened.

        An expired intent accepts a later settlement with its actual cost until its estimate is sealed in a window.
        """
        query = "SELECT tenant_id, estimate_nanousd, outcome, cost_nanousd, flush_id FROM events WHERE event_id = ?"
        row = self._db.execute(query, (settlement.event_id,)).fetchone()
        if row is None:
            return None
        tenant_id, estimate, outcome, cost_before, flush_id = row
        if outcome is not None and (outcome != Outcome.EXPIRED or flush_id is not None):
            return None
        values = (settlement.outcome, settlement.cost_nanousd, int(settlement.estimated), _dump(settlement.usage))
        self._db.execute(_SETTLE, (*values, settlement.settled_at_s, settlement.event_id))
        # The expiry has released the reservation already: only the difference to the estimate is left to add.
        released, added = (
            (estimate, settlement.cost_nanousd) if outcome is None else (0, settlement.cost_nanousd - cost_before)
        )
        return SettledIntent(tenant_id=tenant_id, released_nanousd=released, added_nanousd=added)

    def expired(self, now_s: float) -> list[Settlement]:
        """Return a settlement at the estimate, flagged as estimated, for each open intent past its expiry."""
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
        """Seal every settled event that is in no window yet: one window for each (tenant, service, model).

        Returns the number of sealed windows. Call it inside a transaction.
        """
        groups: dict[tuple[str, str, str, str, int], list[sqlite3.Row]] = {}
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        for row in cursor.execute("SELECT * FROM events WHERE outcome IS NOT NULL AND flush_id IS NULL"):
            key = (row["tenant_id"], row["service"], row["model"], row["price_version"], row["simulated"])
            groups.setdefault(key, []).append(row)
        for key, rows in groups.items():
            self._seal_window(key, rows, now_s)
        return len(groups)

    def _seal_window(self, key: tuple[str, str, str, str, int], rows: list[sqlite3.Row], now_s: float) -> None:
        tenant_id, service, model, price_version, simulated = key
        last = self._db.execute(
            "SELECT seq, cumulative_nanousd FROM flushes WHERE tenant_id = ? AND service = ? AND model = ?"
            " ORDER BY seq DESC LIMIT 1",
            (tenant_id, service, model),
        ).fetchone()
        seq, cumulative_before = (last[0] + 1, last[1]) if last else (1, 0)
        # Derived, not drawn: a window keeps its id on every resend, and two journals never share one.
        flush_id = str(uuid.uuid5(uuid.UUID(self.journal_id), f"{tenant_id}|{service}|{model}|{seq}"))
        cost = sum(row["cost_nanousd"] for row in rows)
        usage = sum((_load(row["usage"]) for row in rows), Usage())
        start = min(row["settled_at_s"] for row in rows)
        names = (flush_id, tenant_id, service, model, seq)
        window = (start, max(start, now_s), len(rows), _dump(usage), cost, cumulative_before + cost)
        flags = (price_version, simulated, sum(row["estimated"] for row in rows))
        self._db.execute(
            "INSERT INTO flushes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            (*names, *window, *flags),
        )
        self._db.executemany(
            "UPDATE events SET flush_id = ? WHERE event_id = ?", [(flush_id, row["event_id"]) for row in rows]
        )

    def ledger(self, now_s: float) -> Ledger:
        """Return the accounts as the events on disk add up."""
        rows = self._db.execute(_ACCOUNTS, (month_start_s(now_s),))
        month = month_of(now_s)
        return Ledger({tenant: Account(month, spent or 0, reserved or 0) for tenant, spent, reserved in rows})

    def totals(self, tenant_id: str) -> TenantTotals:
        """Return a tenant's totals since the journal began, as a whole and by model."""
        parameters = {"tenant": tenant_id}
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        by_model = [dict(row) | {"simulated": bool(row["simulated"])} for row in cursor.execute(_BY_MODEL, parameters)]

        def total(name: str) -> int:
            return sum(int(row[name]) for row in by_model)

        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=total("cost_nanousd"),
            reserved_nanousd=int(self._db.execute(_RESERVED, parameters).fetchone()[0]),
            sent_nanousd=total("sent_nanousd"),
            requests=total("requests"),
            estimated_requests=total("estimated_requests"),
            by_model=tuple(by_model),
        )

    def open_intents(self) -> int:
        """Return the number of intents without a settlement."""
        return int(self._db.execute(_OPEN).fetchone()[0])

    def events(self) -> list[dict[str, Any]]:
        """Return every event with all its columns, in the order they were opened."""
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        return [dict(row) for row in cursor.execute("SELECT * FROM events ORDER BY opened_at_s")]


# The readers below open the file read-only and take no lock, so they also work beside a running writer.
# Each raises sqlite3.Error for a file that is not a journal.


def read_settled_nanousd(path: Path) -> dict[str, int]:
    """Return each tenant's settled total in nano-dollars."""
    with _read_only(path) as db:
        return {str(tenant): int(total) for tenant, total in db.execute(_SETTLED_BY_TENANT)}


def read_open_intents(path: Path) -> int:
    """Return the number of intents without a settlement: each is billed at its estimate when it expires."""
    with _read_only(path) as db:
        return int(db.execute(_OPEN).fetchone()[0])


def read_settled_events(path: Path, service: Service | None = None) -> list[SettledEvent]:
    """Return the settled events of one service, or of all."""
    with _read_only(path) as db:
        rows = db.execute(_SETTLED_EVENTS, {"service": service}).fetchall()
    return [
        SettledEvent(
            tenant_id=tenant_id,
            service=event_service,
            model=model,
            outcome=Outcome(outcome),
            cost_nanousd=cost_nanousd,
            usage=json.loads(usage or "{}"),
        )
        for tenant_id, event_service, model, outcome, cost_nanousd, usage in rows
    ]


def _read_only(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


def _acquire_lock(path: Path) -> FileLock:
    # Not thread-local: the lock is acquired on the event loop's thread and released on the journal's.
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise JournalBusy(f"{path.name} is held by another process; one aggregator writes one journal.") from None
    return lock


def _dump(usage: Usage) -> str:
    return json.dumps(usage.nonzero(), sort_keys=True)


def _load(usage: str) -> Usage:
    return Usage(**json.loads(usage))
