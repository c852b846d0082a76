"""Read the cost journal beside its writer: read-only connections that see the last commit and take no lock.

A function that takes the journal's path reads all its shards; a JournalReader reads one.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster.costs.models import SettledEvent
from cluster.costs.storage.account_table import read_zone
from cluster.costs.storage.booking_time import local_day
from cluster.costs.storage.month_files import month_paths, reading_month
from cluster.costs.storage.schema import EVENT, IDENTITY, USAGE, column_names
from cluster.costs.storage.shard_files import shard_paths
from routing.models import Outcome, Service, TenantTotals

_BY_MODEL = """SELECT service, model, max(simulated) AS simulated, sum(requests) AS requests,
    sum(estimated) AS estimated_requests, sum(cost_nanousd) AS cost_nanousd, sum(sent_nanousd) AS sent_nanousd
    FROM totals WHERE tenant_id = ? GROUP BY service, model ORDER BY service, model"""
_RESERVED = "SELECT coalesce(sum(estimate_nanousd), 0) FROM reserved WHERE tenant_id = ?"
_OPEN = "SELECT coalesce(sum(intents), 0) FROM reserved"
_SETTLED_BY_TENANT = "SELECT tenant_id, sum(cost_nanousd) FROM totals GROUP BY tenant_id"
_OLDEST_UNSENT = """SELECT min(time_s) FROM (
    SELECT window_start_s AS time_s FROM (SELECT window_start_s FROM flushes
        WHERE flush_id IS NOT NULL AND sent_at_s IS NULL AND refused IS NULL ORDER BY window LIMIT 1)
    UNION ALL
    SELECT booked_at_s FROM (SELECT booked_at_s FROM settled
        WHERE event > (SELECT sealed_event FROM journal) ORDER BY event LIMIT 1))"""
_TENANTS = "SELECT tenant_id FROM totals UNION SELECT tenant_id FROM reserved ORDER BY 1"
_DAY_COSTS = "SELECT day, sum(cost_nanousd) FROM days WHERE tenant_id = coalesce(?, tenant_id) GROUP BY day"
_PARTS = """sum(requests) AS requests, sum(estimated) AS estimated, sum(cost_nanousd) AS cost_nanousd,
    sum(iif(corrects IS NULL AND estimated, cost_nanousd, 0)) AS estimated_nanousd,
    sum(iif(corrects IS NULL, 0, cost_nanousd)) AS corrections_nanousd,"""
_SUMMED = ("requests", "estimated", "cost_nanousd", "estimated_nanousd", "corrections_nanousd")
STEPS_A_CHECK = 100_000
"""SQLite's instructions between two checks of whether a sum was stopped: about a millisecond."""
_OPEN_ROWS = f"SELECT event_id, {', '.join(IDENTITY)}, expires_at_s FROM open_events"
_SETTLED_ROWS = f"SELECT event, {', '.join(EVENT)} FROM settled ORDER BY event"

FOR_EVER_S = 253_402_300_799.0
"""The end of the year 9999."""
SUMMED_BY = (
    *("tenant_id", "room", "participant", "service", "vendor", "model", "price_version", "simulated", "day", "month"),
    *("outcome", "request_id", "opened_day", "local_day"),
)
"""The columns by which events can be summed: `day` counts from 1970, `month` is a number such as 202611; UTC.

`local_day` is the day in the time zone that the sum is for.
`opened_day` is the day of the vendor call by its caller's clock; a correction has that of the call it corrects.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSum:
    """The sum of the settled events that share a key; a correction changes the sums, and is no request."""

    key: tuple[Any, ...]
    requests: int
    estimated_requests: int
    cost_nanousd: int
    usage: Mapping[str, int]
    estimated_nanousd: int = 0
    """The part of the cost that was booked as an estimate. Where it was wrong, a correction has the difference."""
    corrections_nanousd: int = 0
    """The signed part of the cost that corrections have."""


class JournalReader:
    """A connection of its own to the journal of a running writer. Not thread-safe: use it from one thread at a time.

    Every question costs the same however many events the journal holds, but for `events`.
    """

    def __init__(self, path: Path) -> None:
        self._db = connect_read_only(path)

    def close(self) -> None:
        self._db.close()

    def totals(self, tenant_id: str) -> TenantTotals:
        """Return a tenant's totals since the journal began, as a whole and by model."""
        by_model = [row | {"simulated": bool(row["simulated"])} for row in _rows(self._db, _BY_MODEL, tenant_id)]

        def total(name: str) -> int:
            return sum(int(row[name]) for row in by_model)

        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=total("cost_nanousd"),
            reserved_nanousd=int(self._db.execute(_RESERVED, (tenant_id,)).fetchone()[0]),
            sent_nanousd=total("sent_nanousd"),
            requests=total("requests"),
            estimated_requests=total("estimated_requests"),
            by_model=tuple(by_model),
        )

    def open_intents(self) -> int:
        """Return the number of intents without a settlement."""
        return int(self._db.execute(_OPEN).fetchone()[0])

    def oldest_unsent_s(self) -> float | None:
        """Return when the oldest event that the backend lacks was booked; None when it lacks none."""
        oldest_s = self._db.execute(_OLDEST_UNSENT).fetchone()[0]
        return None if oldest_s is None else float(oldest_s)

    def events(self) -> list[dict[str, Any]]:
        """Return the open and the settled events that are in no month file, in the order they were opened.

        Usage is JSON of the units that are not zero.
        """
        open_events = [row | {"outcome": None, "usage": "{}"} for row in _rows(self._db, _OPEN_ROWS)]
        settled = [row | {"usage": json.dumps(_usage(row))} for row in _rows(self._db, _SETTLED_ROWS)]
        return sorted(open_events + settled, key=lambda row: float(row["opened_at_s"]))


def read_settled_nanousd(path: Path) -> dict[str, int]:
    """Return each tenant's settled total in nano-dollars; raises sqlite3.Error for a file that is not a journal."""
    return {str(tenant): int(total) for tenant, total in _rows_of_shards(path, _SETTLED_BY_TENANT)}


def read_open_intents(path: Path) -> int:
    """Return the number of intents without a settlement: each is billed when it expires. Raises sqlite3.Error."""
    return sum(int(intents) for (intents,) in _rows_of_shards(path, _OPEN))


def read_settled_events(path: Path, service: Service | None = None) -> list[SettledEvent]:
    """Return the settled events of one service, or of all, those of month files too; raises sqlite3.Error."""
    query = (
        "SELECT tenant_id, service, model, outcome, cost_nanousd, {usage} FROM {table}"
        " WHERE service = coalesce(?, service)"
    )
    return [
        SettledEvent(
            tenant_id=row["tenant_id"],
            service=row["service"],
            model=row["model"],
            outcome=Outcome(row["outcome"]),
            cost_nanousd=row["cost_nanousd"],
            usage=_usage(row),
        )
        for table in event_tables(path)
        for row in table.rows(query, service)
    ]


def sum_events(
    path: Path,
    by: Sequence[str],
    *,
    tenant_id: str | None = None,
    since_s: float = 0.0,
    until_s: float = FOR_EVER_S,
    after: Sequence[Any] = (),
    limit: int | None = None,
    stopped: Callable[[], bool] | None = None,
    zone: str = "",
) -> list[EventSum]:
    """Add up the settled events that were booked in a time, for each combination of the columns in `by`.

    `by` holds names of SUMMED_BY. The journal and every month file of the time are read, each event once. Corrections
    count where and when they were booked. A page of `limit` sums begins `after` a key. `stopped` is called now and
    then. Raises ValueError for another column, sqlite3.Error for no journal and when `stopped` returns True.
    """
    if unknown := set(by) - set(SUMMED_BY):
        raise ValueError(f"events cannot be summed by {', '.join(sorted(unknown))}; allowed: {', '.join(SUMMED_BY)}")
    keys = "".join(f"{name}, " for name in by)
    query = (
        f"SELECT {keys}{_PARTS} {{summed_usage}} FROM {{table}}"
        " WHERE tenant_id = coalesce(?, tenant_id) AND booked_at_s >= ? AND booked_at_s < ?"
        + (f" AND ({', '.join(by)}) > ({', '.join('?' * len(by))})" if after else "")
        + (f" GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else " HAVING count(*) > 0")
        + " LIMIT ?"
    )
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for table in event_tables(path, since_s, until_s, zone):
        table.db.set_progress_handler(stopped, STEPS_A_CHECK)
        # Each of the first `limit` keys of all tables is among the first `limit` of every table that has it.
        for row in table.rows(query, tenant_id, since_s, until_s, *after, -1 if limit is None else limit):
            sums.setdefault(tuple(row[name] for name in by), Counter()).update(_numbers(row))
    return [
        EventSum(
            key=key,
            requests=total["requests"],
            estimated_requests=total["estimated"],
            cost_nanousd=total["cost_nanousd"],
            usage={unit: total[unit] for unit in USAGE if total[unit]},
            estimated_nanousd=total["estimated_nanousd"],
            corrections_nanousd=total["corrections_nanousd"],
        )
        for key, total in sorted(sums.items())[:limit]
    ]


def read_booked_events(
    path: Path, tenant_id: str | None = None, since_s: float = 0.0, until_s: float = FOR_EVER_S
) -> Iterator[dict[str, Any]]:
    """Yield the settled events that were booked in a time, file by file in the order of their booking.

    Each has the columns of EVENT, and `usage` of the units that are not zero. Raises sqlite3.Error.
    """
    names = ", ".join(name for name in EVENT if name not in USAGE)
    query = (
        f"SELECT {names}, {{usage}} FROM {{table}}"
        " WHERE tenant_id = coalesce(?, tenant_id) AND booked_at_s >= ? AND booked_at_s < ? ORDER BY event"
    )
    for table in event_tables(path, since_s, until_s):
        for row in table.rows(query, tenant_id, since_s, until_s):
            yield row | {"usage": _usage(row)}


def read_tenants(path: Path) -> list[str]:
    """Return every tenant that the journal has ever booked a cost or a reservation for; raises sqlite3.Error."""
    return sorted(str(tenant) for (tenant,) in _rows_of_shards(path, _TENANTS))


def read_time_zone(path: Path, tenant_id: str) -> str:
    """Return the time zone that a tenant's last request had; empty for UTC. Raises sqlite3.Error."""
    zones = []
    for shard in shard_paths(path):
        with closing(connect_read_only(shard)) as db:
            zones.append(read_zone(db, tenant_id))
    return max(zones, default="")


def read_day_costs(path: Path, tenant_id: str | None = None) -> dict[int, int]:
    """Return the nano-dollars booked on each UTC day since the journal began, of deleted months too."""
    costs = Counter[int]()
    for day, cost in _rows_of_shards(path, _DAY_COSTS, tenant_id):
        costs[int(day)] += int(cost)
    return dict(costs)


@dataclass(frozen=True, slots=True)
class EventTable:
    """A table of settled events in one file, and the condition that leaves every event in one file only."""

    db: sqlite3.Connection
    name: str
    condition: str
    columns: frozenset[str]

    def rows(self, query: str, *parameters: object) -> Iterator[dict[str, Any]]:
        """Run a query in which {table}, {usage} and {summed_usage} stand for this table and its usage columns."""
        usage = [unit if unit in self.columns else f"0 AS {unit}" for unit in USAGE]
        summed = [f"sum({unit}) AS {unit}" if unit in self.columns else f"0 AS {unit}" for unit in USAGE]
        days = "CAST(opened_at_s / 86400 AS INTEGER) AS opened_day, local_day_of(booked_at_s) AS local_day"
        table = f"(SELECT *, {days} FROM {self.name} WHERE {self.condition})"
        return _rows(
            self.db, query.format(table=table, usage=", ".join(usage), summed_usage=", ".join(summed)), *parameters
        )


def event_tables(path: Path, since_s: float = 0.0, until_s: float = FOR_EVER_S, zone: str = "") -> Iterator[EventTable]:
    """Yield the tables of all shards and those of their month files that a time touches, each event in one of them.

    `local_day` of an event is its day in `zone`, or in UTC. A shard is read first and as of one moment. An event that
    moves meanwhile is left out of its month file.
    """
    day_of_time = partial(local_day, zone=zone)
    for shard in shard_paths(path):
        for table in _event_tables(shard, since_s, until_s):
            table.db.create_function("local_day_of", 1, day_of_time, deterministic=True)
            yield table


def _event_tables(path: Path, since_s: float, until_s: float) -> Iterator[EventTable]:
    with closing(connect_read_only(path)) as db:
        db.execute("BEGIN")
        (moved,) = db.execute("SELECT moved_event FROM journal").fetchone()
        yield EventTable(db, "settled", f"event > {moved}", frozenset(column_names(db, "settled")))
        for month, month_file in month_paths(path.resolve()).items():
            if month_number(since_s) <= month <= month_number(until_s):
                with reading_month(month_file) as (month_db, columns):
                    yield EventTable(month_db, "events", f"event <= {moved}", frozenset(columns))


def month_number(time_s: float) -> int:
    """Return the UTC month of a UNIX time as a number such as 202611."""
    date = dt.datetime.fromtimestamp(min(time_s, FOR_EVER_S), dt.UTC)
    return date.year * 100 + date.month


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. One thread at a time may use it."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)


def _rows_of_shards(path: Path, query: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
    for shard in shard_paths(path):
        with closing(connect_read_only(shard)) as db:
            yield from db.execute(query, parameters)


def _rows(db: sqlite3.Connection, query: str, *parameters: object) -> Iterator[dict[str, Any]]:
    cursor = db.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _numbers(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[name] for name in (*_SUMMED, *USAGE)}


def _usage(row: dict[str, Any]) -> dict[str, int]:
    return {unit: row[unit] for unit in USAGE if row[unit]}
