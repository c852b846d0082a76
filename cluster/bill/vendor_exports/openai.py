"""Read OpenAI's usage and costs: the pages of its organization API, or the CSV of its dashboard.

Formats: GET /v1/organization/usage/{completions,embeddings} and /v1/organization/costs of the API reference. Costs have
to be grouped by `line_item`, usage by `model`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cluster.bill.vendor_exports.models import ANSWERS, COST, Parsed, VendorUsage
from cluster.bill.vendor_exports.reading import (
    Row,
    amount_of,
    day_of,
    is_csv,
    joined,
    parse_rows,
    read_csv,
    read_documents,
    refuse_longer_than_a_day,
    results_of,
    text_of,
)
from routing.billing.money import nanousd_of


def parse(path: Path) -> Parsed:
    if is_csv(path):
        return parse_rows(read_csv(path), _csv_row)
    return parse_rows(joined(results_of(read_documents(path))), _result)


def _result(row: Row) -> Iterator[VendorUsage]:
    bucket, kind = row["bucket"], text_of(row, "object")
    refuse_longer_than_a_day(bucket["start_time"], bucket.get("end_time"))
    day = day_of(bucket["start_time"])
    if kind == "organization.costs.result":
        yield _cost(day, row.get("line_item"), row["amount"]["value"], row["amount"].get("currency"))
    elif kind in ("organization.usage.completions.result", "organization.usage.embeddings.result"):
        yield _usage(day, row, is_embedding=".embeddings." in kind)
    else:
        raise ValueError(f"{kind} is not compared")


def _csv_row(row: Row) -> Iterator[VendorUsage]:
    refuse_longer_than_a_day(row["start_time"], row.get("end_time"))
    day = day_of(row["start_time"])
    if "amount_value" not in row:
        yield _usage(day, row, is_embedding="output_tokens" not in row)
    elif row["amount_value"] != "":
        yield _cost(day, row.get("line_item"), row["amount_value"], row.get("amount_currency"))


def _cost(day: int, line_item: object, value: object, currency: object) -> VendorUsage:
    if currency is not None and str(currency).lower() != "usd":
        raise ValueError(f"the currency {str(currency)[:10]} is not compared, only usd")
    if not isinstance(line_item, str) or not line_item:
        raise ValueError("line_item is missing; group the costs by line_item")
    # "gpt-4o-mini-2024-07-18, input": each kind of token is an item of its own.
    return VendorUsage(day=day, model=line_item.partition(",")[0], amounts={COST: nanousd_of(value)})


def _usage(day: int, row: Row, is_embedding: bool) -> VendorUsage:
    amounts = {"input_tokens": amount_of(row, "input_tokens")}
    if not is_embedding:
        amounts["cached_input_tokens"] = amount_of(row, "input_cached_tokens")
        if "input_cache_write_tokens" in row:
            # Of models that charge for it; older reports lack the field, and those tokens are input in any case.
            amounts["cache_write_tokens"] = amount_of(row, "input_cache_write_tokens")
        amounts["output_tokens"] = amount_of(row, "output_tokens")
    services = frozenset({"embeddings"}) if is_embedding else ANSWERS
    return VendorUsage(day=day, model=text_of(row, "model"), amounts=amounts, services=services)  # type: ignore[arg-type]
