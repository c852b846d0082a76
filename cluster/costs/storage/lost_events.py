"""Carry over the events that month files keep of a lost journal to the backup that takes its place."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from cluster.costs.ledger import Ledger
from cluster.costs.models import SettledIntent
from cluster.costs.storage.account_table import AccountTable
from cluster.costs.storage.booking_time import day_of
from cluster.costs.storage.month_files import MonthFiles, month_paths, newest_event, reading_month
from cluster.costs.storage.running_sums import SumChanges
from routing.billing.budgets import QUARTER_S

_NEWEST = "SELECT max(sealed_event, coalesce((SELECT max(event) FROM settled), 0)), moved_event FROM journal"
_LATEST = "SELECT coalesce(max(booked_at_s), 0) FROM settled"
_SUMS = f"""SELECT CAST(booked_at_s / {QUARTER_S} AS INTEGER), tenant_id, room, service, model, simulated,
    sum(cost_nanousd), sum(requests), sum(estimated) FROM {{table}} WHERE event > ? GROUP BY 1, 2, 3, 4, 5, 6"""
_MOVED = "UPDATE journal SET sealed_event = ?, moved_event = ?, restored_at_s = ?"
_SENT = """UPDATE totals SET sent_nanousd = cost_nanousd - (SELECT coalesce(sum(f.cost_nanousd), 0) FROM flushes f
    WHERE f.sent_at_s IS NULL AND (f.tenant_id, f.service, f.model, f.simulated)
      = (totals.tenant_id, totals.service, totals.model, totals.simulated))"""
"""All but the windows that this journal sends were the lost one's to send."""
_Sums = dict[tuple[Any, ...], Counter[str]]


def carry_over(db: sqlite3.Connection, file: Path, journal: Path, now_s: float) -> None:
    """Move all settled events of a backup to the month files, and book what the lost journal moved there later.

    `db` is a connection to the backup's copy in `file`, without an open transaction, and `journal` is its later place.
    The two histories have used the same event numbers. New events get numbers beyond both, so that a bill reads each
    event once, and at once. Raises sqlite3.Error.
    """
    last, moved = db.execute(_NEWEST).fetchone()
    (latest_s,) = db.execute(_LATEST).fetchone()
    backup = _sums(db, "settled", moved)
    MonthFiles(journal, source=file).copy_events_until(last)
    newest, newest_s = newest_event(journal)
    changes = _Sums()
    for path in month_paths(journal.resolve()).values():
        with reading_month(path) as (month, _):
            _add(changes, _sums(month, "events", moved), 1)
    _add(changes, backup, -1)
    last = max(last, newest)
    with db:
        _book(db, changes, latest_s)
        db.execute(_SENT)
        db.execute("DELETE FROM settled")
        db.execute(_MOVED, (last, last, max(now_s, latest_s, newest_s)))


def _sums(db: sqlite3.Connection, table: str, after: int) -> _Sums:
    """Return the sums of the events with higher numbers, by quarter of an hour, tenant, room and model."""
    names = ("cost_nanousd", "requests", "estimated")
    rows = db.execute(_SUMS.format(table=table), (after,))
    return {tuple(row[:6]): Counter(dict(zip(names, row[6:], strict=True))) for row in rows}


def _add(sums: _Sums, others: _Sums, sign: int) -> None:
    for key, other in others.items():
        total = sums.setdefault(key, Counter())
        for name, amount in other.items():
            total[name] += sign * amount


def _book(db: sqlite3.Connection, changes: _Sums, latest_s: float) -> None:
    """Add the sums to the totals, the days, and the accounts, whose days begin with a quarter of an hour too.

    `latest_s` is the booking time of the backup's newest event: its accounts stand in no earlier day.
    """
    sums, table = SumChanges(db), AccountTable(db)
    ledger = Ledger(table.load())
    for key in sorted(changes):
        change = changes[key]
        if not any(change.values()):
            continue
        quarter, tenant_id, room, service, model, simulated = key
        at_s, added = float(quarter * QUARTER_S), change["cost_nanousd"]
        sums.book((tenant_id, service, model, simulated), day_of(at_s), added, change["requests"], change["estimated"])
        if (tenant_id, "") not in ledger.accounts:
            # The journal begins the account of a tenant without one from the sums of its days.
            continue
        settled = SettledIntent(
            tenant_id=tenant_id, room=room, released_nanousd=0, added_nanousd=added, booked_at_s=at_s
        )
        ledger.settle(settled, max(at_s, latest_s))
    sums.write()
    table.save({key: ledger.accounts[key] for key in ledger.changed})
