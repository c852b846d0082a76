"""Read Google Cloud's billing export: rows of its BigQuery table as JSON or CSV, or the console's cost table as CSV.

Format: the standard usage cost schema, `gcp_billing_export_v1_...`. Only the SKUs of Gemini are compared. Costs are
those before credits, converted to dollars by the row's own rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from cluster.bill.vendor_exports.models import COST, Parsed, VendorUsage
from cluster.bill.vendor_exports.reading import (
    Row,
    amount_of,
    day_of,
    is_csv,
    parse_rows,
    read_csv,
    read_documents,
    refuse_longer_than_a_day,
)
from routing.billing.money import nanousd_of


def parse(path: Path) -> Parsed:
    return parse_rows(read_csv(path) if is_csv(path) else read_documents(path), _row)


def _row(row: Row) -> Iterator[VendorUsage]:
    sku = _first(row, "sku_description", "sku")
    name = sku.get("description") if isinstance(sku, dict) else sku
    if not isinstance(name, str):
        raise ValueError("sku.description is missing")
    if "gemini" not in name.lower():
        return
    begin = _first(row, "usage_start_time", "usage_start_date")
    end = _first(row, "usage_end_time", "usage_end_date")
    refuse_longer_than_a_day(begin, end)
    amounts = {COST: nanousd_of(_dollars(row))} | _tokens(name.lower(), row)
    # Some SKUs are sentences with `_` between their words.
    yield VendorUsage(day=day_of(begin), model=name.replace("_", " "), amounts=amounts)


def _dollars(row: Row) -> Decimal:
    value, rate = _first(row, "unrounded_cost", "cost"), row.get("currency_conversion_rate")
    currency = str(row.get("currency") or "USD").upper()
    try:
        if currency == "USD":
            return Decimal(value)
        if not rate:
            raise ValueError(f"the currency {currency[:10]} has no currency_conversion_rate")
        return Decimal(value) / Decimal(rate)
    except (InvalidOperation, TypeError, ZeroDivisionError):
        raise ValueError("cost or currency_conversion_rate is no number") from None


def _tokens(sku: str, row: Row) -> dict[str, int]:
    """Return the tokens that a SKU counts. Cached tokens have SKUs of their own, and are input here too.

    The storage of a cache is charged by the token and hour, and counts none.
    """
    usage = row.get("usage")
    unit, amount = (
        (usage.get("unit"), amount_of(usage, "amount"))
        if isinstance(usage, dict)
        else (row.get("usage_unit"), amount_of(row, "usage_amount"))
    )
    if unit not in ("count", "tokens", None, "") or "storage" in sku:
        return {}
    if "output" in sku:
        return {"output_tokens": amount}
    if "cached" in sku or "caching" in sku:
        return {"input_tokens": amount, "cached_input_tokens": amount}
    return {"input_tokens": amount} if "input" in sku else {}


def _first(row: Row, *names: str) -> Any:
    """Return the value of the first name that the row has; the table and the console name columns differently."""
    for name in names:
        if name in row:
            return row[name]
    raise KeyError(names[0])
