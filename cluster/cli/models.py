"""Print the model catalogue as a table or as JSON. Sends no request."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.check.terminal import plain
from routing.catalogue import Catalogue, Model

# Each unit's field in prices.toml, its name in the JSON and its short one in the table.
_UNITS = (
    ("input_pico", "input_tokens", "in "),
    ("output_pico", "output_tokens", "out "),
    ("cached_input_pico", "cached_input_tokens", "cached "),
    ("cache_write_pico", "cache_write_tokens", "written "),
    ("cache_write_1h_pico", "cache_write_1h_tokens", "written for an hour "),
    ("image_px_pico", "image_px", "px "),
    ("audio_ms_pico", "audio_ms", "ms "),
    ("character_pico", "characters", ""),
)
_TABLE_UNITS = ("input_tokens", "output_tokens", "image_px", "audio_ms", "characters")


def report(catalogue: Catalogue, today: dt.date) -> list[dict[str, Any]]:
    """Return one row for each model, with prices in dollars for a million units."""
    return [_row(catalogue, model, today) for model in catalogue.models.values()]


def show(catalogue: Catalogue, today: dt.date, console: Console, as_json: bool) -> None:
    """Print the catalogue."""
    rows = report(catalogue, today)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(title=f"Models on {today.isoformat()}; USD a million units", box=box.SIMPLE_HEAD)
    for name in ("model", "vendor", "tier", "services", "price", "retires on", "days left", "successor"):
        table.add_column(name, justify="right" if name == "days left" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, map(plain, _cells(row))), style="red" if row["retired"] else None)
    console.print(table)


def _row(catalogue: Catalogue, model: Model, today: dt.date) -> dict[str, Any]:
    price = catalogue.price(model.name, today)
    usd = {name: _usd(pico) for field, name, _ in _UNITS if (pico := getattr(price, field)) is not None}
    return {
        "model": model.name,
        "vendor": model.vendor,
        "tier": model.tier.value,
        "services": list(model.services),
        "usd_per_million": usd,
        "price_version": price.version,
        "context_tokens": model.context_tokens,
        "retires_on": model.retires_on.isoformat() if model.retires_on else None,
        "days_left": model.days_left(today),
        "retired": model.retired(today),
        "successor": model.successor,
    }


def _usd(pico: int) -> float:
    """Return dollars for a million units from pico-dollars a unit: a million pico-dollars is a micro-dollar."""
    return float(Decimal(pico) / 10**6)


def _cells(row: dict[str, Any]) -> list[str]:
    usd = row["usd_per_million"]
    price = ", ".join(f"{short}{usd[name]:g}" for _, name, short in _UNITS if name in _TABLE_UNITS and name in usd)
    days_left = "retired" if row["retired"] else row["days_left"]
    names = (row["model"], row["vendor"], row["tier"], ", ".join(row["services"]), price)
    return ["" if cell is None else str(cell) for cell in (*names, row["retires_on"], days_left, row["successor"])]
