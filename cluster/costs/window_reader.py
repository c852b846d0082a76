"""Read the closed windows of the journal and of its month files, and how their sending went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cluster.costs.journal_reader import connect_read_only
from cluster.costs.storage.month_files import month_paths, reading_month

_CLOSED = """SELECT flush_id, tenant_id, service, model, window_end_s, cost_nanousd, sent_at_s, refused
    FROM flushes WHERE flush_id IS NOT NULL ORDER BY window"""


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A window that has its flush id."""

    flush_id: str
    tenant_id: str
    service: str
    model: str
    window_end_s: float
    cost_nanousd: int
    sent_at_s: float | None
    refused: str | None


def read_closed_windows(path: Path) -> Iterator[ClosedWindow]:
    """Yield every closed window of the journal and of its month files once; raises sqlite3.Error."""
    with closing(connect_read_only(path)) as db:
        # As of one moment, before the month files: a window that moves meanwhile is in both, and never in neither.
        windows = [ClosedWindow(*row) for row in db.execute(_CLOSED)]
    here = {window.flush_id for window in windows}
    yield from windows
    for month_file in month_paths(path.resolve()).values():
        with reading_month(month_file) as (month_db, _):
            for row in month_db.execute(_CLOSED):
                if row[0] not in here:
                    yield ClosedWindow(*row)
