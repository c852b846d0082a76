"""Fills and reads the tables of the embedded backend."""

from __future__ import annotations

from cluster.backend.sqlite import LocalBackend
from routing.models import Passage


async def add_passage(backend: LocalBackend, tenant_id: str, passage: Passage) -> None:
    row = (passage.passage_id, tenant_id, passage.source, passage.text)
    await backend._run(lambda db: db.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", row))


async def billed_totals_nanousd(backend: LocalBackend) -> dict[str, int]:
    query = "SELECT tenant_id, sum(cost_nanousd) FROM cost_events GROUP BY tenant_id"
    return dict(await backend._run(lambda db: db.execute(query).fetchall()))
