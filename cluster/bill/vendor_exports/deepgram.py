"""Read Deepgram's usage and billing: the breakdowns of its Management API.

Formats: GET /v1/projects/{id}/usage/breakdown, grouped by `models`, and /v1/projects/{id}/billing/breakdown, grouped by
`line_item`, one day a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.bill.vendor_exports.models import COST, Parsed, VendorUsage
from cluster.bill.vendor_exports.reading import (
    Place,
    Row,
    amount_of,
    day_of,
    parse_rows,
    read_documents,
    refuse_longer_than_a_day,
)
from routing.billing.money import nanousd_of

HOUR_MS = 3_600_000


def parse(path: Path) -> Parsed:
    return parse_rows(_results(path), _result)


def _results(path: Path) -> Iterator[Place]:
    for place, page in read_documents(path):
        results = page.get("results") if isinstance(page, dict) else None
        if not isinstance(results, list):
            yield place, page if isinstance(page, Exception) else ValueError("has no list `results`")
            continue
        yield from ((f"{place} results[{number}]", result) for number, result in enumerate(results))


def _result(row: Row) -> Iterator[VendorUsage]:
    grouping = row["grouping"]
    refuse_longer_than_a_day(grouping["start"], grouping.get("end"))
    day = day_of(grouping["start"])
    if "dollars" in row:
        # "streaming::nova-3": the kind of request stands before its model.
        model = _text(grouping.get("line_item"), "line_item").rpartition("::")[2]
        yield VendorUsage(day=day, model=model, amounts={COST: nanousd_of(row["dollars"])})
        return
    models = grouping.get("models") or []
    if len(models) != 1:
        raise ValueError("grouping.models does not name one model; group the usage by models")
    amounts = {"audio_ms": amount_of(row, "hours", HOUR_MS), "characters": amount_of(row, "tts_characters")}
    yield VendorUsage(day=day, model=_text(models[0], "models"), amounts=amounts)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"grouping.{name} is missing; group the export by {name}")
    return value
