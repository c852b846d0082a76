"""Read ElevenLabs' usage: the time axis of its usage API.

Format: GET /v1/usage/character-stats with breakdown_type=model, aggregation_interval=day and metric=tts_characters. Its
times are milliseconds. Its successor, /v1/workspace/analytics/query/usage-by-product-over-time, counts credits, whose
number for a character depends on model and plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cluster.bill.vendor_exports.models import Parsed, VendorUsage
from cluster.bill.vendor_exports.reading import Place, Row, amount_of, day_of, parse_rows, read_documents

ALL_MODELS = "All"


def parse(path: Path) -> Parsed:
    return parse_rows(_cells(path), _cell)


def _cells(path: Path) -> Iterator[Place]:
    """Yield each number of the table with its time and its model."""
    for place, page in read_documents(path):
        if isinstance(page, dict) and "columns" in page:
            yield place, ValueError("counts credits; export character-stats with metric=tts_characters")
            continue
        times = page.get("time") if isinstance(page, dict) else None
        usage = page.get("usage") if isinstance(page, dict) else None
        if not isinstance(times, list) or not isinstance(usage, dict):
            yield place, page if isinstance(page, Exception) else ValueError("has no `time` and `usage`")
            continue
        for model, amounts in usage.items():
            where = f"{place} usage[{model[:40]!r}]"
            if not isinstance(amounts, list) or len(amounts) != len(times):
                yield where, ValueError("has another length than `time`")
                continue
            for number, (time_ms, amount) in enumerate(zip(times, amounts, strict=True)):
                yield f"{where}[{number}]", {"model": model, "time_ms": time_ms, "characters": amount}


def _cell(row: Row) -> Iterator[VendorUsage]:
    if row["model"] == ALL_MODELS:
        raise ValueError("it is the sum of all models; request breakdown_type=model")
    time_ms = row["time_ms"]
    if isinstance(time_ms, bool) or not isinstance(time_ms, int):
        raise ValueError("time is no number of milliseconds")
    yield VendorUsage(
        day=day_of(time_ms // 1_000),
        model=row["model"],
        amounts={"characters": amount_of(row, "characters")},
        services=frozenset({"tts"}),
    )
