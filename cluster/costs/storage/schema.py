"""The tables of the cost journal, their version, and the migrations from older versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import fields

from routing.models import Usage

VERSION = 2
"""`PRAGMA user_version` of the file. Files without one were written before versions existed."""

USAGE = tuple(unit.name for unit in fields(Usage))
"""The usage columns: one for each unit that an attempt can be billed by."""
IDENTITY = (
    *("tenant_id", "room", "participant", "request_id", "service", "vendor", "model", "price_version", "simulated"),
    *("estimate_nanousd", "witnessed", "opened_at_s", "arrived_at_s"),
)
"""The columns that an event has from its reservation on."""
EVENT = (
    *("event_id", *IDENTITY, "booked_at_s", "day", "month", "outcome", "knowledge", "requests", "estimated"),
    *("cost_nanousd", "corrects", *USAGE),
)
"""The columns of a settled event, beside its number."""
FIGURES = ("outcome", "knowledge", "estimated", "cost_nanousd", *USAGE)
"""The columns that better knowledge changes, as long as the event is in no window."""
WINDOW_KEY = ("tenant_id", "service", "model", "price_version", "simulated", "correction", "month")
FLUSH = (
    *("flush_id", "epoch", *WINDOW_KEY, "seq", "first_event", "last_event", "window_start_s", "window_end_s"),
    *("requests", "estimated_requests", "cost_nanousd", "cumulative_nanousd", "sent_at_s", "refused", *USAGE),
)

_TEXT = {"tenant_id", "room", "participant", "request_id", "service", "vendor", "model", "price_version"}


def _columns(names: Iterable[str]) -> str:
    kinds = {name: "TEXT" for name in _TEXT | {"event_id", "outcome"}}
    return ", ".join(f"{name} {kinds.get(name) or _number(name)} NOT NULL" for name in names)


def _number(name: str) -> str:
    return "REAL" if name.endswith("_s") else f"INTEGER{' DEFAULT 0' if name in USAGE else ''}"


EVENTS_TABLE = f"""
    event INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, {_columns(IDENTITY)},
    {_columns(("booked_at_s", "day", "month", "outcome", "knowledge", "requests", "estimated", "cost_nanousd"))},
    corrects TEXT, {_columns(USAGE)}"""
"""The columns of a table of settled events. They are numbered in the order of their booking."""
FLUSHES_TABLE = f"""
    window INTEGER PRIMARY KEY, flush_id TEXT UNIQUE, epoch TEXT, {_columns(WINDOW_KEY)},
    seq INTEGER, first_event INTEGER NOT NULL, last_event INTEGER NOT NULL,
    {_columns(("window_start_s", "window_end_s", "requests", "estimated_requests", "cost_nanousd"))},
    cumulative_nanousd INTEGER, sent_at_s REAL, refused TEXT, {_columns(USAGE)}"""
"""The columns of a table of windows. A window without a flush id is still being filled."""

# An open event moves to `settled` when it is settled: the first table stays small, the second is only appended to.
# `totals`, `days` and `reserved` are sums of the two, changed in the same transaction, so that no start, failed commit
# or room close adds up events. Events up to `sealed_event` are in a window, those up to `moved_event` in month files.
_SCHEMA = f"""
CREATE TABLE journal (
    one INTEGER PRIMARY KEY CHECK (one = 1), journal_id TEXT NOT NULL, shards INTEGER NOT NULL DEFAULT 1,
    sealed_event INTEGER NOT NULL DEFAULT 0, moved_event INTEGER NOT NULL DEFAULT 0,
    probed_at_s REAL NOT NULL DEFAULT 0, restored_at_s REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE epochs (epoch TEXT PRIMARY KEY, opened_at_s REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE open_events (
    event_id TEXT PRIMARY KEY, {_columns(IDENTITY)}, expires_at_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX open_expiry ON open_events (expires_at_s);
CREATE TABLE settled ({EVENTS_TABLE}) STRICT;
CREATE TABLE flushes ({FLUSHES_TABLE}) STRICT;
CREATE UNIQUE INDEX filling ON flushes ({", ".join(WINDOW_KEY)}) WHERE flush_id IS NULL;
CREATE INDEX unsent ON flushes (window) WHERE flush_id IS NOT NULL AND sent_at_s IS NULL AND refused IS NULL;
CREATE INDEX parked ON flushes (window) WHERE refused IS NOT NULL;
CREATE TABLE sequences (
    tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL,
    seq INTEGER NOT NULL, cumulative_nanousd INTEGER NOT NULL, PRIMARY KEY (tenant_id, service, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE totals (
    tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL, simulated INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL, requests INTEGER NOT NULL, estimated INTEGER NOT NULL, sent_nanousd INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, service, model, simulated)
) STRICT, WITHOUT ROWID;
CREATE TABLE days (
    day INTEGER NOT NULL, tenant_id TEXT NOT NULL, cost_nanousd INTEGER NOT NULL, PRIMARY KEY (day, tenant_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE reserved (
    tenant_id TEXT PRIMARY KEY, estimate_nanousd INTEGER NOT NULL, intents INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_BEGIN = """INSERT INTO journal (one, journal_id, shards, sealed_event, moved_event, restored_at_s)
    VALUES (1, ?, ?, ?, ?, ?)"""
_UNVERSIONED = {"events", "flushes", "journal"}


class UnknownFormat(ValueError):
    """The file is no journal that this version can read; the text says why."""


def prepare(
    db: sqlite3.Connection, journal_id: str, shards: int = 1, after: Callable[[], tuple[int, float]] = lambda: (0, 0.0)
) -> None:
    """Create the tables of an empty file, or migrate those of an older version, in one transaction.

    `shards` is written into an empty file only, and so are the number and the booking time that `after` returns: those
    of the newest event of a lost journal, whose month files are there. Its numbers are not used again.

    Raises UnknownFormat, with nothing changed, for a newer version and for a file that is no journal.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        _prepare(db, journal_id, shards, after)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _prepare(db: sqlite3.Connection, journal_id: str, shards: int, after: Callable[[], tuple[int, float]]) -> None:
    check_version(db)
    tables = table_names(db)
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == VERSION:
        add_usage_columns(db, ("settled", "flushes"))
        add_restored_column(db)
        return
    if tables:
        _migrate_unversioned(db)
    else:
        _run(db, _SCHEMA)
        event, booked_at_s = after()
        db.execute(_BEGIN, (journal_id, shards, event, event, booked_at_s))
    db.execute(f"PRAGMA user_version = {VERSION}")


def check_version(db: sqlite3.Connection) -> None:
    """Raise UnknownFormat for a newer version, for an unknown usage unit, and for a file that is no journal."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = table_names(db)
    if version > VERSION:
        raise UnknownFormat(f"it has format {version}, and this version of rayroom reads formats up to {VERSION}")
    if version < VERSION and tables and not _UNVERSIONED <= tables:
        raise UnknownFormat("it is a SQLite file, but not a cost journal")
    if version == VERSION and (unknown := column_names(db, "settled") - {"event", *EVENT}):
        raise UnknownFormat(f"it has columns that this version of rayroom cannot bill: {', '.join(sorted(unknown))}")


def read_shards(db: sqlite3.Connection) -> int | None:
    """Return the number of shards that a journal was begun with; None for a file that is empty or no journal."""
    if "journal" not in table_names(db):
        return None
    if "shards" not in column_names(db, "journal"):
        # A file from before there were shards.
        return 1
    return int(db.execute("SELECT shards FROM journal").fetchone()[0])


def table_names(db: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def column_names(db: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")}


def add_usage_columns(db: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Add a column, zero in older rows, for each usage unit that is newer than the file."""
    for table in tables:
        for unit in (unit for unit in USAGE if unit not in column_names(db, table)):
            db.execute(f"ALTER TABLE {table} ADD COLUMN {unit} INTEGER NOT NULL DEFAULT 0")


def add_restored_column(db: sqlite3.Connection) -> None:
    """Add the column for the time of a restore to a file that is older than it."""
    if "restored_at_s" not in column_names(db, "journal"):
        db.execute("ALTER TABLE journal ADD COLUMN restored_at_s REAL NOT NULL DEFAULT 0")


def _run(db: sqlite3.Connection, script: str) -> None:
    # `executescript` would commit the transaction first.
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)


def _json_units(row: str) -> str:
    return ", ".join(f"coalesce(json_extract({row}.usage, '$.{unit}'), 0)" for unit in USAGE)


_UTC_DAY = "CAST({0} / 86400 AS INTEGER)"
_UTC_MONTH = "CAST(strftime('%Y%m', {0}, 'unixepoch') AS INTEGER)"
_OLD_IDENTITY = (
    "e.tenant_id, e.room, '', '', e.service, e.vendor, e.model, e.price_version, e.simulated,"
    " e.estimate_nanousd, 0, e.opened_at_s, e.opened_at_s"
)
# Knowledge 0 is an estimate after silence, 1 the router's estimate, 4 the vendor's own report.
_OLD_KNOWLEDGE = "CASE WHEN e.outcome = 'expired' THEN 0 WHEN e.estimated THEN 1 ELSE 4 END"
_MIGRATION = f"""
ALTER TABLE events RENAME TO old_events;
ALTER TABLE flushes RENAME TO old_flushes;
ALTER TABLE journal RENAME TO old_journal;
DROP INDEX IF EXISTS open_events;
DROP INDEX IF EXISTS unsealed_events;
DROP INDEX IF EXISTS unsent_flushes;
{_SCHEMA}
INSERT INTO journal (one, journal_id) SELECT one, journal_id FROM old_journal;
INSERT INTO open_events SELECT event_id, {_OLD_IDENTITY}, e.expires_at_s FROM old_events e WHERE outcome IS NULL;
INSERT INTO settled ({", ".join(EVENT)})
SELECT e.event_id, {_OLD_IDENTITY}, e.settled_at_s, {_UTC_DAY.format("e.settled_at_s")},
    {_UTC_MONTH.format("e.settled_at_s")}, e.outcome, {_OLD_KNOWLEDGE}, 1, e.estimated, e.cost_nanousd, NULL,
    {_json_units("e")}
FROM old_events e LEFT JOIN old_flushes f USING (flush_id) WHERE e.outcome IS NOT NULL
ORDER BY e.flush_id IS NULL, f.window_end_s, e.flush_id, e.settled_at_s;
UPDATE journal SET sealed_event = (SELECT count(*) FROM old_events WHERE flush_id IS NOT NULL);
INSERT INTO flushes ({", ".join(FLUSH)})
SELECT f.flush_id, '', f.tenant_id, f.service, f.model, f.price_version, f.simulated, 0,
    {_UTC_MONTH.format("f.window_end_s")}, f.seq, coalesce(min(s.event), 0), coalesce(max(s.event), 0),
    f.window_start_s, f.window_end_s, f.requests, f.estimated_requests, f.cost_nanousd, f.cumulative_nanousd,
    f.sent_at_s, f.refused, {_json_units("f")}
FROM old_flushes f LEFT JOIN old_events e USING (flush_id) LEFT JOIN settled s USING (event_id)
GROUP BY f.flush_id ORDER BY f.window_end_s, f.tenant_id, f.service, f.model, f.seq;
INSERT INTO sequences
SELECT tenant_id, service, model, max(seq), cumulative_nanousd FROM flushes GROUP BY tenant_id, service, model;
INSERT INTO totals
SELECT tenant_id, service, model, simulated, sum(cost_nanousd), sum(requests), sum(estimated), 0
FROM settled GROUP BY tenant_id, service, model, simulated;
UPDATE totals SET sent_nanousd = (SELECT coalesce(sum(f.cost_nanousd), 0) FROM flushes f WHERE f.sent_at_s IS NOT NULL
    AND (f.tenant_id, f.service, f.model, f.simulated)
      = (totals.tenant_id, totals.service, totals.model, totals.simulated));
INSERT INTO days SELECT day, tenant_id, sum(cost_nanousd) FROM settled GROUP BY day, tenant_id;
INSERT INTO reserved SELECT tenant_id, sum(estimate_nanousd), count(*) FROM open_events GROUP BY tenant_id;
DROP TABLE old_events;
DROP TABLE old_flushes;
DROP TABLE old_journal;
"""


def _migrate_unversioned(db: sqlite3.Connection) -> None:
    """Convert the tables of a file without a version: usage becomes columns, sums become tables of their own."""
    _run(db, _MIGRATION)
