"""Exports of vendors as they publish them, with the figures that a test names."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from routing.units import DAY_S


def day(date: str) -> int:
    """Return a UTC day counted from 1970."""
    return (dt.date.fromisoformat(date) - dt.date(1970, 1, 1)).days


def write(path: Path, document: Any) -> Path:
    """Write JSON, or a text as it is."""
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def openai_page(date: str, *results: Any) -> dict[str, Any]:
    """Return a page of OpenAI's organization API with one daily bucket."""
    start_s = day(date) * DAY_S
    bucket = {"object": "bucket", "start_time": start_s, "end_time": start_s + DAY_S, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def openai_usage(model: str, input_tokens: int, output_tokens: int, cached: int = 0) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "input_cached_tokens": cached,
        "num_model_requests": 1,
        "model": model,
        "project_id": None,
    }


def openai_cost(line_item: str, usd: float) -> dict[str, Any]:
    amount = {"value": usd, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": line_item, "project_id": None}


def anthropic_page(date: str, *results: Any) -> dict[str, Any]:
    """Return a page of Anthropic's Admin API with one daily bucket."""
    end = (dt.date.fromisoformat(date) + dt.timedelta(days=1)).isoformat()
    bucket = {"starting_at": f"{date}T00:00:00Z", "ending_at": f"{end}T00:00:00Z", "results": list(results)}
    return {"data": [bucket], "has_more": False, "next_page": None}


def google_row(date: str, sku: str, cost: Any, amount: int, **more: Any) -> dict[str, Any]:
    """Return a row of Google's billing export in BigQuery."""
    return {
        "service": {"id": "AEFD-7695-64FA", "description": "Gemini API"},
        "sku": {"id": "0000-0000-0000", "description": sku},
        "usage_start_time": f"{date} 08:00:00 UTC",
        "usage_end_time": f"{date} 09:00:00 UTC",
        "cost": cost,
        "currency": "USD",
        "usage": {"amount": amount, "unit": "count"},
        "credits": [],
    } | more


def deepgram_usage(date: str, *rows: tuple[str, float, int]) -> dict[str, Any]:
    """Return Deepgram's usage breakdown of a day: the model, the hours and the characters of each row."""
    results = [
        {
            "hours": hours,
            "total_hours": hours,
            "agent_hours": 0,
            "tokens_in": 0,
            "tokens_out": 0,
            "tts_characters": characters,
            "requests": 1,
            "grouping": {"start": date, "end": date, "models": [model], "endpoint": None},
        }
        for model, hours, characters in rows
    ]
    return {"start": date, "end": date, "resolution": {"units": "day", "amount": 1}, "results": results}
