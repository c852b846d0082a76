"""The records of meetings in the embedded backend's file."""

from __future__ import annotations

import sqlite3

from routing.records.markdown import to_markdown
from routing.records.models import MeetingRecord, ReportAnswer
from routing.units import DAY_S

MEMORY_S = 400 * DAY_S
"""How long a deletion is remembered. A part of a meeting that began earlier is refused: it may be a deleted one."""
_EVERY_MEETING = ""
"""Stands in `deleted_records` for all meetings of a tenant; no meeting has an empty id."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meeting_records (
    part_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, meeting_id TEXT NOT NULL, record_id TEXT NOT NULL,
    joined_at_s REAL NOT NULL, first_entry INTEGER NOT NULL, keep_until_s REAL, record TEXT NOT NULL,
    markdown TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deleted_records (
    tenant_id TEXT NOT NULL, meeting_id TEXT NOT NULL, deleted_at_s REAL NOT NULL, PRIMARY KEY (tenant_id, meeting_id)
) STRICT, WITHOUT ROWID;
"""


def store(db: sqlite3.Connection, record: MeetingRecord, now_s: float) -> ReportAnswer:
    """Insert a part unless it is there, too old, or its meeting began before it was deleted. Delete expired records."""
    db.execute("DELETE FROM meeting_records WHERE keep_until_s < ?", (now_s,))
    started_at_s = record.started_at.timestamp()
    if started_at_s < now_s - MEMORY_S:
        return ReportAnswer(outcome="refused", reason="TOO_OLD")
    tombstones = (record.tenant_id, record.meeting_id, _EVERY_MEETING, started_at_s)
    deleted = db.execute(
        "SELECT 1 FROM deleted_records WHERE tenant_id = ? AND meeting_id IN (?, ?) AND deleted_at_s >= ?", tombstones
    ).fetchone()
    if deleted is not None:
        return ReportAnswer(outcome="deleted")
    days = record.retention_days
    values = (
        record.part_id,
        record.tenant_id,
        record.meeting_id,
        record.record_id,
        record.joined_at.timestamp(),
        record.first_entry,
        None if days is None else record.ended_at.timestamp() + days * DAY_S,
        record.model_dump_json(by_alias=True),
        to_markdown(record),
    )
    insert = "INSERT INTO meeting_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (part_id) DO NOTHING"
    return ReportAnswer(outcome="stored" if db.execute(insert, values).rowcount else "duplicate")


def delete(db: sqlite3.Connection, tenant_id: str, meeting_id: str | None, now_s: float) -> int:
    """Delete records, and remember it for their parts that are still to come; return the number of records.

    Deletions that are older than any part that may still come are forgotten.
    """
    condition, values = "tenant_id = ? AND meeting_id = coalesce(?, meeting_id)", (tenant_id, meeting_id)
    counted = db.execute(f"SELECT count(DISTINCT record_id) FROM meeting_records WHERE {condition}", values).fetchone()
    db.execute(f"DELETE FROM meeting_records WHERE {condition}", values)
    db.execute("DELETE FROM deleted_records WHERE deleted_at_s < ?", (now_s - MEMORY_S,))
    db.execute("INSERT OR REPLACE INTO deleted_records VALUES (?, ?, ?)", (tenant_id, meeting_id or "", now_s))
    return int(counted[0])
