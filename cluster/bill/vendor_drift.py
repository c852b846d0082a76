"""Compare the journal's usage and costs with a vendor's own report, by day and model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from cluster.bill.reader import day_text
from cluster.bill.vendor_exports.models import COST, ModelNames
from cluster.bill.vendor_exports.registry import VendorReport
from cluster.costs.journal_reader import EventSum

JOURNAL_KEY = ("opened_day", "vendor", "service", "model", "simulated")
"""The columns by which the journal's events have to be summed."""
MEASURES = (
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens"),
    *("audio_ms", "characters", COST),
)

Cell = tuple[int, str, str]
"""A day, a model and a measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """One measure of one day and model on both sides: a unit of usage, or the cost in nano-dollars."""

    vendor: str
    day: str
    model: str
    measure: str
    journal: int
    reported: int
    within: bool
    """Whether the difference is within the tolerance."""

    @property
    def difference(self) -> int:
        return self.journal - self.reported


def compare_vendor(
    vendor: str,
    journal: Iterable[EventSum],
    report: VendorReport,
    names: ModelNames,
    tolerance_percent: Decimal = Decimal(0),
    days: tuple[int, int] | None = None,
) -> list[DriftRow]:
    """Return a row for each measure that the report has, of each of its days and of each model of either side.

    Days from the report's first to its last are compared, within `days` (the first, and the first past the end). Only
    the journal's services that a measure of the report covers count. Simulated usage has reached no vendor.
    """
    reported: dict[Cell, int] = {
        (day, model, measure): amount
        for (day, model), amounts in report.amounts.items()
        for measure, amount in amounts.items()
    }
    if not reported:
        return []
    first, end = min(day for day, *_ in reported), max(day for day, *_ in reported) + 1
    if days is not None:
        first, end = max(first, days[0]), min(end, days[1])
    booked = _booked(vendor, journal, report, names)
    cells = sorted(
        (cell for cell in {*reported, *booked} if first <= cell[0] < end),
        key=lambda cell: (cell[0], cell[1], MEASURES.index(cell[2])),
    )
    rows = []
    for cell in cells:
        ours, theirs = booked.get(cell, 0), reported.get(cell, 0)
        within = abs(ours - theirs) * 100 <= tolerance_percent * max(abs(ours), abs(theirs))
        if ours or theirs:
            named = {"vendor": vendor, "day": day_text(cell[0]), "model": cell[1], "measure": cell[2]}
            rows.append(DriftRow(**named, journal=ours, reported=theirs, within=within))
    return rows


def _booked(vendor: str, journal: Iterable[EventSum], report: VendorReport, names: ModelNames) -> dict[Cell, int]:
    booked: dict[Cell, int] = {}
    for one in journal:
        day, of_vendor, service, model, simulated = one.key
        if of_vendor != vendor or simulated:
            continue
        amounts = {**one.usage, COST: one.cost_nanousd}
        for measure, services in report.covered.items():
            if service in services and (amount := amounts.get(measure, 0)):
                cell = day, names.of_bill(model), measure
                booked[cell] = booked.get(cell, 0) + amount
    return booked
