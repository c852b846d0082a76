"""Seal settled events into windows, and hand the windows to the flusher: the sums are SQL's."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields

from cluster.costs.storage.schema import USAGE, WINDOW_KEY
from routing.billing.budgets import QUARTER_S
from routing.models import FlushRow

EVENTS_A_SLICE = 1_000
WINDOWS_A_SLICE = 500
"""Each slice takes well below the 20 ms that a reservation may wait for it."""

_SUMS = ("requests", "estimated_requests", "cost_nanousd", *USAGE)
_FILL = f"""
INSERT INTO flushes ({", ".join(WINDOW_KEY)}, first_event, last_event, window_start_s, window_end_s, {", ".join(_SUMS)})
SELECT tenant_id, service, model, price_version, simulated, corrects IS NOT NULL AS correction, month,
    min(event), max(event), min(booked_at_s), max(booked_at_s),
    sum(requests), sum(estimated), sum(cost_nanousd), {", ".join(f"sum({unit})" for unit in USAGE)}
FROM settled WHERE event > :after AND event <= :until
GROUP BY tenant_id, service, model, price_version, simulated, correction, month
ON CONFLICT ({", ".join(WINDOW_KEY)}) WHERE flush_id IS NULL DO UPDATE SET
    last_event = excluded.last_event, window_end_s = max(window_end_s, excluded.window_end_s),
    window_start_s = min(window_start_s, excluded.window_start_s),
    {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}"""
_FIRST = "SELECT booked_at_s FROM settled WHERE event > ? AND event <= ? ORDER BY event LIMIT 1"
_BEING_FILLED = "SELECT window_start_s FROM flushes WHERE flush_id IS NULL LIMIT 1"
_FIRST_OF_ANOTHER_QUARTER = f"""SELECT min(event) FROM settled
    WHERE event > ? AND event <= ? AND CAST(booked_at_s / {QUARTER_S} AS INTEGER) != ?"""
_FILLING = """SELECT window, tenant_id, service, model, cost_nanousd FROM flushes WHERE flush_id IS NULL
    ORDER BY window LIMIT ?"""
_NEXT_SEQ = """INSERT INTO sequences VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE
    SET seq = seq + 1, cumulative_nanousd = cumulative_nanousd + excluded.cumulative_nanousd
    RETURNING seq, cumulative_nanousd"""
_CLOSE = "UPDATE flushes SET flush_id = ?, epoch = ?, seq = ?, cumulative_nanousd = ? WHERE window = ?"
ROW = tuple(field.name for field in fields(FlushRow) if field.name not in ("usage", "journal_id"))
_MARK_SENT = """UPDATE flushes SET sent_at_s = ?, refused = NULL WHERE flush_id = ? AND sent_at_s IS NULL
    RETURNING tenant_id, service, model, simulated, cost_nanousd"""
_ADD_SENT = """UPDATE totals SET sent_nanousd = sent_nanousd + ?
    WHERE tenant_id = ? AND service = ? AND model = ? AND simulated = ?"""


def fill_windows(db: sqlite3.Connection, last_event: int, limit: int) -> int:
    """Add up to `limit` settled events to their windows; return the number of events.

    A window holds one tenant, service, model, price version and quarter of an hour, and its times are those of its
    events. Months begin with a quarter of an hour in every time zone, so each window lies in one month of its tenant.
    The events of the next quarter wait until the windows of this one are closed.
    """
    (after,) = db.execute("SELECT sealed_event FROM journal").fetchone()
    until = _end_of_quarter(db, after, min(after + limit, last_event))
    if until > after:
        db.execute(_FILL, {"after": after, "until": until})
        db.execute("UPDATE journal SET sealed_event = ?", (until,))
    return int(until - after)


def _end_of_quarter(db: sqlite3.Connection, after: int, until: int) -> int:
    """Return the last event up to `until` that may enter the windows being filled."""
    first = db.execute(_FIRST, (after, until)).fetchone()
    if first is None:
        return until
    quarter = int(first[0] // QUARTER_S)
    filling = db.execute(_BEING_FILLED).fetchone()
    if filling is not None and int(filling[0] // QUARTER_S) != quarter:
        return after
    (other,) = db.execute(_FIRST_OF_ANOTHER_QUARTER, (after, until, quarter)).fetchone()
    return until if other is None else other - 1


def close_windows(db: sqlite3.Connection, epoch: str, limit: int) -> int:
    """Give the next `limit` filled windows their sequence numbers and flush ids; return the number of windows.

    The id derives from the epoch of this opening, not of the filling: a restored journal never gives a window an id
    that was used for another sum after the backup.
    """
    windows = db.execute(_FILLING, (limit,)).fetchall()
    for window, tenant_id, service, model, cost_nanousd in windows:
        (numbers,) = db.execute(_NEXT_SEQ, (tenant_id, service, model, cost_nanousd)).fetchall()
        flush_id = uuid.uuid5(uuid.UUID(epoch), f"{tenant_id}|{service}|{model}|{numbers[0]}")
        db.execute(_CLOSE, (str(flush_id), epoch, *numbers, window))
    return len(windows)


def flush_row(row: Sequence[object], journal_id: str) -> FlushRow:
    """Return the window of a row with the columns ROW and USAGE."""
    named = dict(zip(ROW, row, strict=False))
    usage = {unit: amount for unit, amount in zip(USAGE, row[len(ROW) :], strict=True) if amount}
    named |= {"simulated": bool(named["simulated"]), "usage": usage, "journal_id": journal_id}
    return FlushRow(**named)  # type: ignore[arg-type]


def mark_sent(db: sqlite3.Connection, flush_ids: Iterable[str], now_s: float) -> None:
    """Record that the backend holds these windows, and add them to their tenants' sent totals once."""
    for flush_id in flush_ids:
        for *key, cost_nanousd in db.execute(_MARK_SENT, (now_s, flush_id)).fetchall():
            db.execute(_ADD_SENT, (cost_nanousd, *key))
