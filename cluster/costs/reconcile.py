"""Compares what the journal holds with what the backend was billed. Equal to the nano-dollar, or it says where not."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ReconciledTenant:
    """One tenant's two totals, in nano-dollars."""

    tenant_id: str
    journal_nanousd: int
    backend_nanousd: int

    @property
    def equal(self) -> bool:
        return self.journal_nanousd == self.backend_nanousd


def journal_totals(path: Path) -> dict[str, int]:
    """Return each tenant's settled total; raises sqlite3.Error for a file that is no journal."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT tenant_id, sum(cost_nanousd) FROM events WHERE outcome IS NOT NULL GROUP BY tenant_id"
        return {str(tenant): int(total) for tenant, total in db.execute(query)}
    finally:
        db.close()


def open_intents(path: Path) -> int:
    """Return how many attempts were never settled: each is billed at its estimate when its time is over."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM events WHERE outcome IS NULL").fetchone()[0])
    finally:
        db.close()


def reconcile(journal: Mapping[str, int], backend: Mapping[str, int]) -> list[ReconciledTenant]:
    """Return every tenant that either side knows money of."""
    return [
        ReconciledTenant(tenant, journal.get(tenant, 0), backend.get(tenant, 0))
        for tenant in sorted({*journal, *backend})
    ]


def dollars(nanousd: int) -> str:
    """Return an amount as dollars, exactly."""
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANO)
    return f"{sign}${whole}.{rest:09}"
