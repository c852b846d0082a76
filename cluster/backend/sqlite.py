"""The embedded backend: SQLite in place of the company's tRPC server, for a deployment without one."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from cluster.backend import local_records
from cluster.costs.row_answers import RowAnswer
from routing.errors import TenantUnknown
from routing.models import FlushRow, Passage, Tenant
from routing.records.models import MeetingRecord, ReportAnswer

BUSY_TIMEOUT_S = 5.0
T = TypeVar("T")

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS cost_events (
    flush_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL,
    cost_nanousd INTEGER NOT NULL, cumulative_nanousd INTEGER NOT NULL, requests INTEGER NOT NULL, row TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passages (
    passage_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
{local_records.SCHEMA}"""


class LocalBackend:
    """Costs, passages and records in one SQLite file, for several processes at once. Settings give the tenants."""

    def __init__(self, path: Path, tenants: Sequence[Tenant]) -> None:
        self._path = path
        self._tenants = {tenant.tenant_id: tenant for tenant in tenants}

    async def tenant(self, tenant_id: str) -> Tenant:
        if tenant_id not in self._tenants:
            raise TenantUnknown(param="tenant_id")
        return self._tenants[tenant_id]

    async def track_costs(self, rows: Sequence[FlushRow]) -> dict[str, RowAnswer]:
        known_rows = [row for row in rows if row.tenant_id in self._tenants]
        inserted = await self._run(lambda db: [_insert(db, row) for row in known_rows])
        answers = {row.flush_id: RowAnswer(kind="refused", reason="tenant_not_found") for row in rows}
        for row, is_new in zip(known_rows, inserted, strict=True):
            answers[row.flush_id] = RowAnswer(kind="inserted" if is_new else "duplicate")
        return answers

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        """Return the tenant's passages that share words with the query; the embedding is ignored."""
        rows = await self._run(
            lambda db: db.execute(
                "SELECT passage_id, source, text FROM passages WHERE tenant_id = ?", (tenant_id,)
            ).fetchall()
        )
        query_words = _words(query)
        scored = [
            Passage(passage_id=row[0], source=row[1], text=row[2], score=_overlap(query_words, row[2])) for row in rows
        ]
        return tuple(
            sorted(
                (passage for passage in scored if passage.score),
                key=lambda passage: (-(passage.score or 0.0), passage.passage_id),
            )[:top_k]
        )

    async def report_record(self, record: MeetingRecord) -> ReportAnswer:
        return await self._run(lambda db: local_records.store(db, record, time.time()))

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        return await self._run(lambda db: local_records.delete(db, tenant_id, meeting_id, time.time()))

    async def report_refused(self, value: Mapping[str, Any]) -> None:
        """Do nothing: the settings that give the tenants are checked at the start, and metadata is in the log."""

    async def aclose(self) -> None:
        return None

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._call, call)

    def _call(self, call: Callable[[sqlite3.Connection], T]) -> T:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
            with db:
                return call(db)
        finally:
            db.close()


def read_cost_events(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Yield the flush id, the tenant, the model and the nano-dollars of each stored window; raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        yield from db.execute("SELECT flush_id, tenant_id, model, cost_nanousd FROM cost_events")


def _insert(db: sqlite3.Connection, row: FlushRow) -> bool:
    """Insert a row; return False when its flush id is present already."""
    values = (
        row.flush_id,
        row.tenant_id,
        row.service,
        row.model,
        row.cost_nanousd,
        row.cumulative_nanousd,
        row.requests,
        json.dumps({"seq": row.seq, "usage": row.usage, "price_version": row.price_version}),
    )
    insert = "INSERT INTO cost_events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (flush_id) DO NOTHING"
    return db.execute(insert, values).rowcount == 1


def _overlap(query_words: set[str], text: str) -> float:
    return len(query_words & _words(text)) / len(query_words) if query_words else 0.0


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
