"""Write a bill as JSON or CSV, and single costs as CSV or as CloudEvents for OpenMeter."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cluster.costs.storage.schema import USAGE
from routing.billing.bill import BillQuery, BillRow
from routing.billing.money import decimal_dollars

EVENT_TYPE = "rayroom.cost"
EVENT_SOURCE = "rayroom"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet runs a cell that begins so (OWASP, CSV injection)."""

_COST_COLUMNS = (
    *("event_id", "booked_at", "tenant_id", "room", "participant", "request_id", "service", "vendor", "model"),
    *("price_version", "simulated", "outcome", "estimated", "corrects", *USAGE, "cost_usd"),
)


def row_values(row: BillRow) -> dict[str, Any]:
    """Return a row as JSON: money is whole nano-dollars, and dollars as text."""
    return {
        "tenant_id": row.tenant_id,
        **row.group,
        "requests": row.requests,
        "estimated_requests": row.estimated_requests,
        "usage": dict(row.usage),
        "reported_nanousd": row.reported_nanousd,
        "estimated_nanousd": row.estimated_nanousd,
        "corrections_nanousd": row.corrections_nanousd,
        "cost_nanousd": row.cost_nanousd,
        "cost_usd": decimal_dollars(row.cost_nanousd),
    }


def bill_csv(query: BillQuery, rows: Iterable[BillRow]) -> Iterator[str]:
    """Yield the lines of a bill for a spreadsheet."""
    money = ("reported_usd", "estimated_usd", "corrections_usd", "cost_usd")
    yield csv_line([*query.columns, "requests", "estimated_requests", *USAGE, *money])
    for row in rows:
        amounts = (row.reported_nanousd, row.estimated_nanousd, row.corrections_nanousd, row.cost_nanousd)
        names = (row.tenant_id, *(row.group[name] for name in query.columns[1:]))
        units = (row.usage.get(unit, 0) for unit in USAGE)
        yield csv_line(
            [*names, row.requests, row.estimated_requests, *units, *map(decimal_dollars, amounts)], len(names)
        )


def costs_csv(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line of a spreadsheet for each cost of the journal."""
    yield csv_line(_COST_COLUMNS)
    texts = len(_COST_COLUMNS) - len(USAGE) - 1
    for event in events:
        values = {**event, **event["usage"], "booked_at": iso_time(event["booked_at_s"])}
        values |= {"cost_usd": decimal_dollars(event["cost_nanousd"]), "corrects": event["corrects"] or ""}
        yield csv_line([values.get(name, 0) for name in _COST_COLUMNS], texts)


def cloud_event(event: Mapping[str, Any]) -> str:
    """Return a cost of the journal as a CloudEvent in JSON (specification 1.0), the form that OpenMeter ingests.

    The id is that of the journal's event, so that one which is sent twice is metered once.
    """
    data = {
        "cost_nanousd": event["cost_nanousd"],
        "requests": event["requests"],
        **{unit: event["usage"].get(unit, 0) for unit in USAGE},
        **{name: event[name] for name in ("room", "participant", "request_id", "service", "vendor", "model")},
        "price_version": event["price_version"],
        "outcome": event["outcome"],
        "simulated": bool(event["simulated"]),
        "estimated": bool(event["estimated"] and event["corrects"] is None),
        "corrects": event["corrects"],
    }
    envelope = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": EVENT_SOURCE,
        "type": EVENT_TYPE,
        "time": iso_time(event["booked_at_s"]),
        "subject": event["tenant_id"],
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":"))


def csv_line(values: Sequence[object], texts: int = 0) -> str:
    """Return a line of CSV without its end; a formula in the first `texts` values becomes text, as others are ours."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(
        [without_formula(str(value)) if index < texts else value for index, value in enumerate(values)]
    )
    return line.getvalue()


def without_formula(text: str) -> str:
    """Return the text of a cell that a spreadsheet shows and never runs."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def iso_time(at_s: float) -> str:
    """Return a UNIX time in UTC, to the millisecond."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
