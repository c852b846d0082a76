"""`rayroom bill`: the costs of the journal by tenant, room, person or day, and exports of them."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.bill.formats import bill_csv, cloud_event, costs_csv, iso_time, row_values
from cluster.bill.reader import read_bill, read_deleted_nanousd, span_s, time_zone
from cluster.check.terminal import cell, labelled, plain
from cluster.config.settings import AppSettings
from cluster.config.validate import check_file
from cluster.costs.journal_reader import read_booked_events, read_open_intents, read_tenants
from routing.billing.bill import BillPage, BillQuery, Grouping, parse_query
from routing.billing.money import dollars
from routing.errors import ConfigurationError

app = typer.Typer(help="Show and export the bill.")
_errors = Console(stderr=True, soft_wrap=True, highlight=False)
_SHOWN_TENANTS = 20

Config = Annotated[Path, typer.Option(help="The Serve configuration that names the journal.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant.")]
Since = Annotated[str | None, typer.Option(help="From this day or time on, such as 2026-11-01.")]
Until = Annotated[str | None, typer.Option(help="Up to the beginning of this day, or up to this time.")]
CONFIG = Path("serve_config.yaml")


class ExportFormat(StrEnum):
    """The formats of single costs."""

    OPENMETER = "openmeter"
    CSV = "csv"


@app.callback(invoke_without_command=True)
def bill(
    context: typer.Context,
    config: Config = CONFIG,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    by: Annotated[list[Grouping] | None, typer.Option(help="Divide by it; may be given several times.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Add up the costs of the journal and of its month files, each where and when it was booked.

    Costs that were booked as estimates and corrections of earlier costs are shown apart; both are part of the cost. The
    days of one tenant are those of its time zone; without a tenant they are UTC. Run it on the head node; it works
    beside a running aggregator. The exit status is 1 for an unknown tenant.
    """
    if context.invoked_subcommand is not None:
        return
    query, settings = parse_query(by or (), tenant, since, until), check_file(config)
    journal = Path(settings.costs.journal_path)
    try:
        _check_tenant(journal, settings, tenant)
        page = read_bill(journal, query)
        deleted_nanousd, open_intents = read_deleted_nanousd(journal, query), read_open_intents(journal)
    except sqlite3.Error as error:
        raise unreadable(journal, error) from None
    if as_json:
        print(json.dumps(_document(query, page, deleted_nanousd), indent=2))
    elif as_csv:
        _print_lines(bill_csv(query, page.rows))
    else:
        _show(query, page, open_intents, Console() if sys.stdout.isatty() else Console(width=200))
    if deleted_nanousd:
        text = f"{dollars(deleted_nanousd)} of this time are left out: their month files were deleted or moved away."
        _errors.print(labelled("incomplete", "yellow", text))


@app.command()
def export(
    config: Config = CONFIG,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    format: Annotated[ExportFormat, typer.Option(help="CloudEvents in JSON lines, or CSV.")] = ExportFormat.OPENMETER,
) -> None:
    """Print each cost of the journal and of its month files, with its event id.

    An export that is ingested twice is metered once, since the ids stay the same. Corrections have negative costs.
    """
    query, settings = parse_query((), tenant, since, until), check_file(config)
    journal = Path(settings.costs.journal_path)
    try:
        _check_tenant(journal, settings, tenant)
        events = read_booked_events(journal, tenant, *span_s(query, time_zone(journal, query)))
        _print_lines(map(cloud_event, events) if format is ExportFormat.OPENMETER else costs_csv(events))
    except sqlite3.Error as error:
        raise unreadable(journal, error) from None


def unreadable(journal: Path, error: sqlite3.Error) -> ConfigurationError:
    """Return the error for a journal that SQLite cannot read."""
    return ConfigurationError(f"costs.journal_path: {journal} cannot be read as a journal: {error}.")


def _check_tenant(journal: Path, settings: AppSettings, tenant_id: str | None) -> None:
    """Exit with status 1 for a tenant that the journal and the configuration do not have."""
    known = read_tenants(journal)
    if settings.backend.url is None:
        known += settings.backend.local_tenants
    if tenant_id is None or tenant_id in known:
        return
    names = ", ".join(known[:_SHOWN_TENANTS]) + (", ..." if len(known) > _SHOWN_TENANTS else "")
    _errors.print(labelled("tenant_unknown", "red", f"The journal has no costs of {tenant_id!r}; it has: {names}."))
    raise typer.Exit(1)


def _document(query: BillQuery, page: BillPage, deleted_nanousd: int) -> dict[str, object]:
    rows, (since_s, until_s) = page.rows, span_s(query, page.time_zone)
    total = {"requests": sum(row.requests for row in rows), "cost_nanousd": sum(row.cost_nanousd for row in rows)}
    return {
        "since": iso_time(since_s),
        "until": None if query.until is None else iso_time(until_s),
        "time_zone": page.time_zone or "UTC",
        "by": list(query.by),
        "rows": [row_values(row) for row in rows],
        "total": total,
        "deleted_nanousd": deleted_nanousd,
    }


def _show(query: BillQuery, page: BillPage, open_intents: int, console: Console) -> None:
    rows = page.rows
    names = [name.removesuffix("_id") for name in query.columns]
    table = Table(*names, "requests", "estimated", "usage", "as reported", "as estimated", "corrections", "cost")
    for row in rows:
        usage = ", ".join(f"{amount:,} {unit}" for unit, amount in row.usage.items())
        amounts = (row.reported_nanousd, row.estimated_nanousd, row.corrections_nanousd, row.cost_nanousd)
        group = [cell(row.group[name]) or "-" for name in query.columns[1:]]
        counts = (str(row.requests), str(row.estimated_requests))
        table.add_row(cell(row.tenant_id), *group, *counts, usage, *map(dollars, amounts))
    if rows:
        console.print(table)
    by_tenant = Counter[str]()
    for row in rows:
        by_tenant[row.tenant_id] += row.cost_nanousd
    for tenant_id, cost_nanousd in sorted(by_tenant.items()):
        console.print(f"{plain(tenant_id)}: {dollars(cost_nanousd)}", markup=False)
    console.print(f"{sum(row.requests for row in rows)} requests, {dollars(sum(by_tenant.values()))}")
    if page.time_zone:
        console.print(f"Days begin at midnight in {plain(page.time_zone)}.", markup=False)
    if open_intents:
        console.print(f"{open_intents} requests of all tenants are open and on no bill yet.")


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
