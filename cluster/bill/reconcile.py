"""Compare the journal's totals with the backend's, to the nano-dollar, for money and for speech units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.costs.journal_reader import read_settled_events
from routing.units import NANOUSD_PER_USD


@dataclass(frozen=True, slots=True)
class ReconciledTenant:
    """One tenant's two totals, in nano-dollars."""

    tenant_id: str
    journal_nanousd: int
    backend_nanousd: int

    @property
    def equal(self) -> bool:
        return self.journal_nanousd == self.backend_nanousd


def reconcile(journal: Mapping[str, int], backend: Mapping[str, int]) -> list[ReconciledTenant]:
    """Return a row for every tenant that has a total on either side."""
    return [
        ReconciledTenant(tenant, journal.get(tenant, 0), backend.get(tenant, 0))
        for tenant in sorted({*journal, *backend})
    ]


UNITS = {"stt": "audio_ms", "tts": "characters"}
_SIMULATED = "simulated/"
BilledModel = tuple[str, str]
"""A service and its model, as the bill names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRow:
    """One speech model's units, in milliseconds or characters, and its price in nano-dollars."""

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
    """The speech units and the money of each model, on one side of the reconciliation."""

    units: Counter[BilledModel]
    nanousd: Counter[BilledModel]


def journal_speech_totals(path: Path) -> SpeechUsageTotals:
    """Return the speech usage that the journal has settled; raises sqlite3.Error for a file that is not a journal."""
    return _totals((event.service, event.model, event.usage, event.cost_nanousd) for event in read_settled_events(path))


def backend_speech_totals(events: Iterable[Mapping[str, Any]]) -> SpeechUsageTotals:
    """Return the speech usage that the backend received, from its own cost events."""
    return _totals(
        (
            event["service"],
            event["metadata"]["model"],
            event["metadata"]["usage"],
            round(event["costUsd"] * NANOUSD_PER_USD),
        )
        for event in events
    )


def vendor_units(requests: Iterable[Mapping[str, Any]]) -> Counter[BilledModel]:
    """Return the sound and the text that the vendor emulator received, from its journal."""
    units: Counter[BilledModel] = Counter()
    for request in requests:
        for service, unit in UNITS.items():
            if request[unit]:
                units[service, request["model"]] += request[unit]
    return units


def compare(vendor: Counter[BilledModel], journal: SpeechUsageTotals, backend: SpeechUsageTotals) -> list[SpeechRow]:
    """Return a row for each model that any side has units of."""
    # The bill marks a simulated model by a prefix; the emulator's journal has its plain name.
    plain_names = {
        service: (service[0], service[1].removeprefix(_SIMULATED)) for service in journal.units + backend.units
    }
    unbilled = [service for service in vendor if service not in plain_names.values()]
    return [
        SpeechRow(
            service=service[0],
            model=service[1],
            vendor_units=vendor[plain_names.get(service, service)],
            journal_units=journal.units[service],
            backend_units=backend.units[service],
            journal_nanousd=journal.nanousd[service],
            backend_nanousd=backend.nanousd[service],
        )
        for service in sorted([*plain_names, *unbilled])
    ]


def _totals(rows: Iterable[tuple[str, str, Mapping[str, int], int]]) -> SpeechUsageTotals:
    totals = SpeechUsageTotals(units=Counter(), nanousd=Counter())
    for service, model, usage, cost_nanousd in rows:
        if service in UNITS:
            totals.units[service, model] += usage.get(UNITS[service], 0)
            totals.nanousd[service, model] += cost_nanousd
    return totals
