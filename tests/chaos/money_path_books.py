"""Read the four books of a run of the money path, and compare them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cluster.costs.journal_reader import JournalReader, read_booked_events
from cluster.lab.stack.backend_peer import BackendPeer
from routing.catalogue import load_catalogue
from routing.units import NANOUSD_PER_USD
from tests.chaos.books import ClientAnswer, Comparison, Loss, VendorCost, compare, compare_months
from tests.chaos.lost_journal import LostJournal, compare_windows, events_of_all, read_windows, unbilled_of_all
from tests.chaos.vendor import Vendor


async def compare_money_path(
    directory: Path, vendor: Vendor, backend: BackendPeer, tenants: int, lost: Sequence[LostJournal]
) -> tuple[Comparison, int]:
    """Return the comparison of all books, and the number of months that the journal's events are in."""
    journal = directory / "journal.db"
    with closing(JournalReader(journal)) as reader:
        open_events = [row["event_id"] for row in reader.events() if row["outcome"] is None]
    rows = events_of_all(read_booked_events(journal), lost)
    windows = [event for number in range(tenants) for event in await backend.events(f"tenant-{number:02d}")]
    billed = {window["metadata"]["flushId"]: round(window["costUsd"] * NANOUSD_PER_USD) for window in windows}
    held = read_windows(journal)
    loss = Loss(
        unbilled_nanousd=unbilled_of_all(lost, billed.keys()),
        open_events=frozenset().union(*(one.open_events for one in lost)),
    )
    comparison = compare(_costs(vendor), rows, await backend.totals_nanousd(), list(_answers(directory)), loss)
    comparison.differences += [f"{event_id}: still open" for event_id in open_events]
    comparison.differences += compare_months(rows, windows, loss)
    comparison.differences += compare_windows(lost, held, billed)
    return comparison, len({row["month"] for row in rows})


def _costs(vendor: Vendor) -> list[VendorCost]:
    models, today = load_catalogue(), dt.datetime.now(dt.UTC).date()
    return [
        VendorCost(
            marker=line.event_id,
            tenant_id=line.tenant_id,
            cost_nanousd=models.price(line.model, today).cost_nanousd(line.usage),
        )
        for line in vendor.lines
    ]


def _answers(directory: Path) -> Iterator[ClientAnswer]:
    for log in sorted(directory.glob("answers-*.log")):
        for line in log.read_bytes().splitlines():
            yield _answer(json.loads(line))


def _answer(line: dict[str, Any]) -> ClientAnswer:
    return ClientAnswer(
        marker=line["event_id"],
        tenant_id=line["tenant_id"],
        status=line["status"],
        cost_nanousd=line["cost_nanousd"],
        nothing_asked=line["status"] == "unavailable" and not line["vendor_called"],
    )
