"""Read a bill from the cost journal and its month files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from cluster.costs.journal_reader import (
    FOR_EVER_S,
    EventSum,
    read_day_costs,
    read_tenants,
    read_time_zone,
    sum_events,
)
from routing.billing.bill import BillPage, BillQuery, BillRow, Key
from routing.units import DAY_S


def read_bill(
    journal: Path,
    query: BillQuery,
    after: Key = (),
    limit: int | None = None,
    stopped: Callable[[], bool] | None = None,
) -> BillPage:
    """Return the rows of a bill, at most `limit` of them, from the first one past the key `after`.

    The days of one tenant are those of its time zone. Blocks on files. Raises sqlite3.Error for a file that is no
    journal, and when `stopped` returns True.
    """
    zone = time_zone(journal, query)
    since_s, until_s = span_s(query, zone)
    sums = sum_events(
        journal,
        ["local_day" if name == "day" else name for name in query.columns],
        tenant_id=query.tenant_id,
        since_s=since_s,
        until_s=until_s,
        zone=zone,
        after=after,
        limit=None if limit is None else limit + 1,
        stopped=stopped,
    )
    page = sums[:limit]
    known = bool(page) or query.tenant_id is None or query.tenant_id in read_tenants(journal)
    return BillPage(
        rows=tuple(_row(query, one) for one in page),
        next_key=page[-1].key if len(sums) > len(page) else None,
        tenant_known=known,
        time_zone=zone,
    )


def time_zone(journal: Path, query: BillQuery) -> str:
    """Return the time zone in which the days of a bill begin; empty for UTC."""
    return "" if query.tenant_id is None else read_time_zone(journal, query.tenant_id)


def span_s(query: BillQuery, zone: str) -> tuple[float, float]:
    """Return the UNIX times at which a bill begins and ends."""
    until_s = query.until_s(zone)
    return query.since_s(zone), FOR_EVER_S if until_s is None else until_s


def read_deleted_nanousd(journal: Path, query: BillQuery) -> int:
    """Return the costs of the query's whole UTC days of which the month files, and so the events, were deleted."""
    booked = read_day_costs(journal, query.tenant_id)
    since_s, until_s = span_s(query, time_zone(journal, query))
    days = {day: cost for day, cost in booked.items() if -(-since_s // DAY_S) <= day < until_s // DAY_S}
    if not days:
        return 0
    since_s, until_s = float(min(days) * DAY_S), float((max(days) + 1) * DAY_S)
    sums = sum_events(journal, ["day"], tenant_id=query.tenant_id, since_s=since_s, until_s=until_s)
    kept = {one.key[0]: one.cost_nanousd for one in sums}
    # An event that is booked between the two reads makes today's sum larger.
    return sum(max(0, cost - kept.get(day, 0)) for day, cost in days.items())


def day_text(day: int) -> str:
    """Return a day that is counted from 1970 as an ISO date."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


def _row(query: BillQuery, one: EventSum) -> BillRow:
    named = dict(zip(query.columns, one.key, strict=True))
    tenant_id = str(named.pop("tenant_id"))
    return BillRow(
        tenant_id=tenant_id,
        group={name: day_text(value) if name == "day" else str(value) for name, value in named.items()},
        requests=one.requests,
        estimated_requests=one.estimated_requests,
        usage=dict(one.usage),
        cost_nanousd=one.cost_nanousd,
        estimated_nanousd=one.estimated_nanousd,
        corrections_nanousd=one.corrections_nanousd,
    )
