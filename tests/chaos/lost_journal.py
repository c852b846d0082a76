"""Lose a journal and restore an older backup of it; count the costs that such a loss leaves unbilled."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.costs.journal_reader import JournalReader, connect_read_only, read_booked_events
from cluster.costs.storage.backup import restore
from cluster.costs.storage.month_files import month_paths, reading_month

_WINDOWS = "SELECT flush_id, tenant_id, month, cost_nanousd FROM flushes WHERE flush_id IS NOT NULL"
_UNSEALED = """SELECT tenant_id, month, cost_nanousd FROM settled WHERE event > (SELECT sealed_event FROM journal)
    UNION ALL SELECT tenant_id, month, cost_nanousd FROM flushes WHERE flush_id IS NULL"""
TenantMonth = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window as a journal holds it."""

    tenant_id: str
    month: int
    cost_nanousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostJournal:
    """The contents of a journal at the moment of its loss."""

    events: list[dict[str, Any]]
    """The settled ones."""
    open_events: frozenset[str]
    windows: dict[str, Window]
    unsealed_nanousd: Counter[TenantMonth]

    def unbilled_nanousd(self, billed: Collection[str]) -> Counter[TenantMonth]:
        """Return the costs of each tenant and month that no window of `billed`, by flush id, holds."""
        costs = Counter(self.unsealed_nanousd)
        for flush_id, window in self.windows.items():
            if flush_id not in billed:
                costs[window.tenant_id, window.month] += window.cost_nanousd
        return costs


def back_up(journal: Path, backup: Path) -> None:
    """Copy a running journal, as docs/operations.md says."""
    with closing(connect_read_only(journal)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)


def lose_and_restore(journal: Path, backup: Path) -> LostJournal:
    """Replace the journal of a process that has ended by its backup; return what the lost one held."""
    lost = read_lost(journal)
    for file in journal.parent.glob(f"{journal.name}*"):
        file.unlink()
    restore(backup, journal, time.time())
    return lost


def read_lost(journal: Path) -> LostJournal:
    """Return the contents of a journal; nothing has left it for a month's file yet."""
    with closing(JournalReader(journal)) as reader:
        open_events = frozenset(row["event_id"] for row in reader.events() if row["outcome"] is None)
    unsealed = Counter[TenantMonth]()
    with closing(connect_read_only(journal)) as db:
        for tenant_id, month, cost_nanousd in db.execute(_UNSEALED):
            unsealed[tenant_id, month] += cost_nanousd
    return LostJournal(
        events=list(read_booked_events(journal)),
        open_events=open_events,
        windows=read_windows(journal),
        unsealed_nanousd=unsealed,
    )


def read_windows(journal: Path) -> dict[str, Window]:
    """Return the closed windows of a journal and of its month files by flush id."""
    with closing(connect_read_only(journal)) as db:
        windows = _windows(db)
    for path in month_paths(journal).values():
        with reading_month(path) as (month, _):
            windows |= _windows(month)
    return windows


def _windows(db: sqlite3.Connection) -> dict[str, Window]:
    return {
        flush_id: Window(tenant_id=tenant_id, month=month, cost_nanousd=cost_nanousd)
        for flush_id, tenant_id, month, cost_nanousd in db.execute(_WINDOWS)
    }


def events_of_all(present: Iterable[dict[str, Any]], lost: Iterable[LostJournal]) -> list[dict[str, Any]]:
    """Return each event once, of the journals that were lost and of the one that is there.

    Of an event in several the first lost one had the last figures: a restored journal does not change them.
    """
    rows: dict[str, dict[str, Any]] = {}
    for events in (*(journal.events for journal in lost), present):
        for row in events:
            rows.setdefault(row["event_id"], row)
    return list(rows.values())


def unbilled_of_all(lost: Iterable[LostJournal], billed: Collection[str]) -> Counter[TenantMonth]:
    """Return the costs that the losses left unbilled; each window counts once, and `billed` holds flush ids."""
    costs, seen = Counter[TenantMonth](), set(billed)
    for journal in lost:
        # `+` of two counters would drop the negative sums of corrections.
        costs.update(journal.unbilled_nanousd(seen))
        seen |= journal.windows.keys()
    return costs


def compare_windows(
    lost: Iterable[LostJournal], present: Mapping[str, Window], backend: Mapping[str, int]
) -> list[str]:
    """Return the windows of one id with two sums, and the windows of the backend that no journal had."""
    windows: dict[str, Window] = {}
    differences = []
    for held in (*(journal.windows for journal in lost), present):
        differences += [
            f"{flush_id}: two windows" for flush_id in held if windows.get(flush_id, held[flush_id]) != held[flush_id]
        ]
        windows |= held
    for flush_id, cost_nanousd in backend.items():
        if flush_id not in windows:
            differences.append(f"{flush_id}: the backend has a window of {cost_nanousd} nUSD of no journal")
        elif windows[flush_id].cost_nanousd != cost_nanousd:
            differences.append(f"{flush_id}: {windows[flush_id].cost_nanousd} nUSD, the backend has {cost_nanousd}")
    return differences
