"""Build valid cost entries for tests; a test passes the fields it changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Knowledge, Receipt
from cluster.costs.storage import windows
from cluster.costs.storage.schema import USAGE
from cluster.costs.storage.windows import ROW
from cluster.costs.storage.windows import flush_row as flush_row_of
from routing.models import CallRecord, FlushRow, Intent, Outcome, Settlement, Spending, Usage


def intent(event_id: str = "e1", **changes: Any) -> Intent:
    values: dict[str, Any] = {
        "event_id": event_id,
        "tenant_id": "acme",
        "room": "tenant_acme_standup",
        "service": "vision",
        "vendor": "gemini",
        "model": "simulated/gemini-3.5-flash-lite",
        "price_version": "gemini-3.5-flash-lite@2026-09-01",
        "estimate_nanousd": 1_000,
        "budget_nanousd": None,
        "simulated": True,
        "opened_at_s": 100.0,
        "lifetime_s": 60.0,
    }
    return Intent(**(values | changes))


def settlement(event_id: str = "e1", cost_nanousd: int = 700, **changes: Any) -> Settlement:
    values: dict[str, Any] = {
        "event_id": event_id,
        "outcome": Outcome.OK,
        "cost_nanousd": cost_nanousd,
        "estimated": False,
        "usage": Usage(input_tokens=10, output_tokens=2),
    }
    return Settlement(**(values | changes))


def call_record(event_id: str = "e1", cost_nanousd: int = 600, **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "event_id": event_id,
        "ended": True,
        "cost_nanousd": cost_nanousd,
        "estimated": False,
        "usage": Usage(input_tokens=10, output_tokens=1),
    }
    return CallRecord(**(values | changes))


def month_spending(receipts: Iterable[Receipt]) -> list[int]:
    """Return the month's nano-dollars of each receipt; -1 for a refusal."""
    return [one.month_nanousd if isinstance(one, Spending) else -1 for one in receipts]


def spent_by_tenant(commit_log: CommitLog, tenant_ids: Iterable[str]) -> dict[str, int]:
    """Return each tenant's spend of the month in nano-dollars, without reservations."""
    return {tenant_id: commit_log.spent(tenant_id, "").month_nanousd for tenant_id in tenant_ids}


async def spend(commit_log: CommitLog, event_id: str, cost_nanousd: int, **changes: Any) -> None:
    """Open and settle one event."""
    await commit_log.write([intent(event_id, **changes)])
    await commit_log.write([settlement(event_id, cost_nanousd)])


def flush_row(cost_nanousd: int = 700, **changes: Any) -> FlushRow:
    values: dict[str, Any] = {
        "flush_id": str(uuid.uuid4()),
        "tenant_id": "acme",
        "service": "vision",
        "model": "simulated/gemini-3.5-flash-lite",
        "seq": 1,
        "window_start_s": 1_790_000_000.0,
        "window_end_s": 1_790_000_010.0,
        "requests": 3,
        "usage": {"input_tokens": 30},
        "cost_nanousd": cost_nanousd,
        "cumulative_nanousd": cost_nanousd,
        "price_version": "gemini-3.5-flash-lite@2026-09-01",
        "simulated": True,
        "estimated_requests": 0,
        "journal_id": str(uuid.uuid4()),
        "epoch": str(uuid.uuid4()),
    }
    return FlushRow(**(values | changes))


def book(
    journal: Journal,
    event_id: str,
    cost_nanousd: int,
    booked_at_s: float = 120.0,
    knowledge: Knowledge = Knowledge.VENDOR_FINAL,
    usage: Usage | None = None,
    **changes: Any,
) -> None:
    """Open and settle one event in a transaction of its own."""
    settled = settlement(event_id, cost_nanousd, estimated=knowledge < Knowledge.REPLICA_PARTIAL)
    settled = replace(settled, usage=usage or settled.usage)
    with journal.transaction():
        journal.add_intent(intent(event_id, **changes), booked_at_s, booked_at_s + 60.0)
        journal.settle(settled, knowledge, booked_at_s)


def seal(journal: Journal) -> tuple[FlushRow, ...]:
    """Seal all settled events; return the windows that are not sent."""
    while journal.unsealed_events:
        while journal.fill_windows():
            pass
        while journal.close_windows():
            pass
    return unsent(journal)


def unsent(journal: Journal) -> tuple[FlushRow, ...]:
    """Return the sealed windows that the backend has neither acknowledged nor refused, the oldest first."""
    rows = journal._db.execute(
        f"""SELECT {", ".join((*ROW, *USAGE))} FROM flushes
        WHERE flush_id IS NOT NULL AND sent_at_s IS NULL AND refused IS NULL ORDER BY window"""
    )
    return tuple(flush_row_of(row, journal.journal_id) for row in rows)


def mark_sent(journal: Journal, flush_ids: Iterable[str], now_s: float) -> None:
    """Record that the backend holds these windows, in a transaction of its own."""
    with journal.transaction():
        windows.mark_sent(journal._db, flush_ids, now_s)
