"""`rayroom reconcile`: the journal against the backend and against the vendors' own reports."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.backend.sqlite import read_cost_events
from cluster.bill.backend_costs import (
    BackendComparison,
    BackendCost,
    WindowDrift,
    acknowledged,
    compare_windows,
    read_backend_export,
)
from cluster.bill.reader import span_s
from cluster.bill.vendor_drift import JOURNAL_KEY, DriftRow, compare_vendor
from cluster.bill.vendor_exports.models import COST, BrokenRow, ModelNames
from cluster.bill.vendor_exports.reading import UnreadableExport
from cluster.bill.vendor_exports.registry import read_report
from cluster.check.terminal import cell, plain
from cluster.config.settings import AppSettings
from cluster.costs.journal_reader import sum_events
from cluster.costs.window_reader import read_closed_windows
from routing.billing.bill import BillQuery
from routing.billing.money import dollars
from routing.catalogue import Catalogue
from routing.errors import ConfigurationError
from routing.units import DAY_S

SKEW_S = 3_600.0
"""Costs are booked after their vendor call; a caller's clock may be ahead by less than that."""
SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The journal against the backend and the vendors, and the rows of their files that cannot be read."""

    backend: BackendComparison
    backend_source: str
    """The source of the backend's side: its own table, an export of it, or its acknowledgements."""
    vendors: tuple[DriftRow, ...]
    broken: tuple[BrokenRow, ...]

    @property
    def within(self) -> bool:
        return not self.backend.drift and not self.broken and all(row.within for row in self.vendors)


def reconcile(
    settings: AppSettings,
    query: BillQuery,
    exports: Mapping[str, Sequence[Path]],
    backend_export: Path | None,
    tolerance_percent: Decimal,
) -> Reconciliation:
    """Compare the journal with all other sides; raises ConfigurationError for a file that is no journal."""
    journal = Path(settings.costs.journal_path)
    broken: list[BrokenRow] = []
    try:
        backend, source = _backend(settings, journal, query, backend_export, broken)
        rows = _vendors(settings.catalogue(), journal, query, exports, tolerance_percent, broken)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{journal} or the embedded backend cannot be read: {error}.") from None
    return Reconciliation(backend=backend, backend_source=source, vendors=tuple(rows), broken=tuple(broken))


def _backend(
    settings: AppSettings, journal: Path, query: BillQuery, export: Path | None, broken: list[BrokenRow]
) -> tuple[BackendComparison, str]:
    stored: Iterable[BackendCost]
    local = Path(settings.backend.local_path)
    if export is not None:
        stored, source = _exported(export, broken), export.name
    elif settings.backend.url is None and local.exists():
        rows = read_cost_events(local)
        stored = (BackendCost(flush_id=row[0], tenant_id=row[1], model=row[2], cost_nanousd=row[3]) for row in rows)
        source = "the embedded backend"
    else:
        stored, source = acknowledged(read_closed_windows(journal)), "its acknowledgements alone"
    return compare_windows(read_closed_windows(journal), stored, *span_s(query, "")), source


def _exported(path: Path, broken: list[BrokenRow]) -> Iterable[BackendCost]:
    try:
        for row in read_backend_export(path):
            if isinstance(row, BrokenRow):
                broken.append(row)
            else:
                yield row
    except UnreadableExport as error:
        broken.append(BrokenRow(place=path.name, problem=str(error)))


def _vendors(
    catalogue: Catalogue,
    journal: Path,
    query: BillQuery,
    exports: Mapping[str, Sequence[Path]],
    tolerance_percent: Decimal,
    broken: list[BrokenRow],
) -> list[DriftRow]:
    given = {vendor: files for vendor, files in exports.items() if files}
    if not given:
        return []
    # The vendors count in UTC, whatever the tenants' time zones are.
    since_s, until_s = span_s(query, "")
    sums = sum_events(journal, JOURNAL_KEY, since_s=max(0.0, since_s - SKEW_S))
    rows: list[DriftRow] = []
    for vendor, files in given.items():
        named = {model.name: model.vendor_name for model in catalogue.models.values() if model.vendor == vendor}
        names = ModelNames(named)
        report = read_report(vendor, files, names)
        broken += report.broken
        days = int(since_s // DAY_S), int(until_s // DAY_S)
        rows += compare_vendor(vendor, sums, report, names, tolerance_percent, days)
    return rows


def show(done: Reconciliation, console: Console, as_json: bool) -> None:
    """Print the reconciliation as JSON, or as tables that name what differs."""
    if as_json:
        vendors = [asdict(row) | {"difference": row.difference} for row in done.vendors]
        print(json.dumps(asdict(done) | {"vendors": vendors, "within_tolerance": done.within}, indent=2))
        return
    backend = done.backend
    if backend.drift:
        console.print(_window_table(backend.drift))
    console.print(
        f"backend ({plain(done.backend_source)}): {backend.windows} windows, {dollars(backend.journal_nanousd)} here,"
        f" {dollars(backend.backend_nanousd)} there, {len(backend.drift)} windows differ;"
        f" {backend.waiting} are on their way, {dollars(backend.waiting_nanousd)}",
        markup=False,
    )
    if done.vendors:
        console.print(_vendor_table(done.vendors))
    for row in done.broken[:SHOWN]:
        console.print(f"broken row: {plain(row.place)}: {plain(row.problem)}", markup=False)
    outside = sum(not row.within for row in done.vendors)
    console.print(
        f"{len(done.vendors)} amounts of vendors, {outside} beyond the tolerance; {len(done.broken)} broken rows"
    )


def _window_table(drift: Sequence[WindowDrift]) -> Table:
    table = Table("day", "tenant", "model", "journal", "backend", "difference", "problem", "flush id")
    for one in drift[:SHOWN]:
        amounts = (one.journal_nanousd, one.backend_nanousd, one.journal_nanousd - one.backend_nanousd)
        names = (one.day or "-", cell(one.tenant_id), cell(one.model))
        table.add_row(*names, *map(dollars, amounts), cell(one.problem), cell(one.flush_id))
    if len(drift) > SHOWN:
        table.add_row(f"and {len(drift) - SHOWN} more: use --json")
    return table


def _vendor_table(rows: Sequence[DriftRow]) -> Table:
    table = Table("vendor", "day", "model", "measure", "journal", "vendor's report", "difference", "")
    for row in rows:
        amounts = (row.journal, row.reported, row.difference)
        texts = map(dollars, amounts) if row.measure == COST else (f"{amount:,}" for amount in amounts)
        measure = "cost" if row.measure == COST else row.measure
        table.add_row(row.vendor, row.day, cell(row.model), measure, *texts, "" if row.within else "DRIFT")
    return table
