"""Read Anthropic's usage and cost reports: the pages of its Admin API.

Formats: GET /v1/organizations/usage_report/messages, grouped by `model`, and /v1/organizations/cost_report, grouped by
`description`. Its costs are decimal cents.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from cluster.bill.vendor_exports.models import ANSWERS, COST, Parsed, VendorUsage
from cluster.bill.vendor_exports.reading import (
    Row,
    amount_of,
    day_of,
    joined,
    parse_rows,
    read_documents,
    refuse_longer_than_a_day,
    results_of,
    text_of,
)
from routing.billing.money import nanousd_of


def parse(path: Path) -> Parsed:
    return parse_rows(joined(results_of(read_documents(path))), _result)


def _result(row: Row) -> Iterator[VendorUsage]:
    bucket = row["bucket"]
    refuse_longer_than_a_day(bucket["starting_at"], bucket.get("ending_at"))
    day = day_of(bucket["starting_at"])
    yield _cost(day, row) if "amount" in row else _usage(day, row)


def _cost(day: int, row: Row) -> VendorUsage:
    if str(row.get("currency") or "USD").upper() != "USD":
        raise ValueError("the currency is not USD")
    # Tools that run at the vendor have a description and no model.
    model = row.get("model") or row.get("description")
    if not isinstance(model, str):
        raise ValueError("model is missing; group the costs by description")
    try:
        dollars = Decimal(row["amount"]) / 100
    except InvalidOperation:
        raise ValueError("amount is no decimal number of cents") from None
    return VendorUsage(day=day, model=model, amounts={COST: nanousd_of(dollars)})


def _usage(day: int, row: Row) -> VendorUsage:
    created = row.get("cache_creation") or {}
    hour = amount_of(created, "ephemeral_1h_input_tokens")
    written, read = hour + amount_of(created, "ephemeral_5m_input_tokens"), amount_of(row, "cache_read_input_tokens")
    amounts = {
        "input_tokens": amount_of(row, "uncached_input_tokens") + written + read,
        "cached_input_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": hour,
        "output_tokens": amount_of(row, "output_tokens"),
    }
    return VendorUsage(day=day, model=text_of(row, "model"), amounts=amounts, services=ANSWERS)
