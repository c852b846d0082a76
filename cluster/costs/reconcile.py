"""Compares what the journal holds with what the backend was billed. Equal to the nano-dollar, or it says where not."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ReconciledTenant:
    """One tenant's two totals, in nano-dollars."""

    tenant_id: str
    journal_nanousd: int
    backend_nanousd: int

    @property
    def equal(self) -> bool:
        return self.journal_nanousd == self.backend_nanousd


def journal_totals(path: Path) -> dict[str, int]:
    """Return each tenant's settled total; raises sqlite3.Error for a file that is no journal."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT tenant_id, sum(cost_nanousd) FROM events WHERE outcome IS NOT NULL GROUP BY tenant_id"
        return {str(tenant): int(total) for tenant, total in db.execute(query)}
    finally:
        db.close()


def open_intents(path: Path) -> int:
    """Return how many attempts were never settled: each is billed at its estimate when its time is over."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM events WHERE outcome IS NULL").fetchone()[0])
    finally:
        db.close()


def reconcile(journal: Mapping[str, int], backend: Mapping[str, int]) -> list[ReconciledTenant]:
    """Return every tenant that either side knows money of."""
    return [
        ReconciledTenant(tenant, journal.get(tenant, 0), backend.get(tenant, 0))
        for tenant in sorted({*journal, *backend})
    ]


def dollars(nanousd: int) -> str:
    """Return an amount as dollars, exactly."""
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANO)
    return f"{sign}${whole}.{rest:09}"


UNITS = {"stt": "audio_ms", "tts": "characters"}
_SIMULATED = "simulated/"
Service = tuple[str, str]
"""A service and its model, as it is billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRow:
    """One model's work, in milliseconds or characters, and its price in nano-dollars."""

    service: str
    model: str
    vendor_units: int
    journal_units: int
    backend_units: int
    journal_nanousd: int
    backend_nanousd: int

    @property
    def equal(self) -> bool:
        return (
            self.vendor_units == self.journal_units == self.backend_units
            and self.journal_nanousd == self.backend_nanousd
        )

    @property
    def amount(self) -> str:
        return f"{self.journal_units} {'ms' if self.service == 'stt' else 'characters'}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechUsageTotals:
    """What one side knows of each model."""

    units: Counter[Service]
    nanousd: Counter[Service]


def journal_book(path: Path) -> SpeechUsageTotals:
    """Return what the journal has settled; raises sqlite3.Error for a file that is no journal."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT service, model, usage, cost_nanousd FROM events WHERE outcome IS NOT NULL"
        rows = [(service, model, json.loads(usage or "{}"), cost) for service, model, usage, cost in db.execute(query)]
    finally:
        db.close()
    return _book(rows)


def backend_book(events: Iterable[Mapping[str, Any]]) -> SpeechUsageTotals:
    """Return what the backend was told, by its own cost events."""
    return _book(
        (one["service"], one["metadata"]["model"], one["metadata"]["usage"], round(one["costUsd"] * NANO))
        for one in events
    )


def vendor_units(seen: Iterable[Mapping[str, Any]]) -> Counter[Service]:
    """Return what the vendors' emulator was sent of sound and of text, by its journal."""
    units: Counter[Service] = Counter()
    for one in seen:
        for service, unit in UNITS.items():
            if one[unit]:
                units[service, one["model"]] += one[unit]
    return units


def compare(vendor: Counter[Service], journal: SpeechUsageTotals, backend: SpeechUsageTotals) -> list[SpeechRow]:
    """Return a row for each model that any side knows of."""
    # The bill says that a model was simulated; who was asked goes by its plain name.
    plain = {service: (service[0], service[1].removeprefix(_SIMULATED)) for service in journal.units + backend.units}
    unbilled = [service for service in vendor if service not in plain.values()]
    return [
        SpeechRow(
            service=service[0],
            model=service[1],
            vendor_units=vendor[plain.get(service, service)],
            journal_units=journal.units[service],
            backend_units=backend.units[service],
            journal_nanousd=journal.nanousd[service],
            backend_nanousd=backend.nanousd[service],
        )
        for service in sorted([*plain, *unbilled])
    ]


def _book(rows: Iterable[tuple[str, str, Mapping[str, int], int]]) -> SpeechUsageTotals:
    book = SpeechUsageTotals(units=Counter(), nanousd=Counter())
    for service, model, usage, cost_nanousd in rows:
        if service in UNITS:
            book.units[service, model] += usage.get(UNITS[service], 0)
            book.nanousd[service, model] += cost_nanousd
    return book
