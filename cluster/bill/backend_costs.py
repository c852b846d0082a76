"""The cost windows that a backend holds, and their differences from those that the journal sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.bill.reader import day_text
from cluster.bill.vendor_exports.models import BrokenRow
from cluster.bill.vendor_exports.reading import broken, is_csv, read_csv, read_documents
from cluster.costs.window_reader import ClosedWindow
from routing.billing.money import nanousd_of
from routing.units import DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendCost:
    """The rows that a backend holds of one window."""

    flush_id: str
    tenant_id: str = ""
    model: str = ""
    cost_nanousd: int
    rows: int = 1

    def __add__(self, other: BackendCost) -> BackendCost:
        return replace(self, cost_nanousd=self.cost_nanousd + other.cost_nanousd, rows=self.rows + other.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDrift:
    """A window whose cost at the backend differs from that in the journal."""

    day: str
    """The UTC day of the window's end; empty for a window that the journal does not have."""
    tenant_id: str
    model: str
    flush_id: str
    journal_nanousd: int
    backend_nanousd: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendComparison:
    """The windows of both sides: their numbers and sums, and those that differ."""

    windows: int
    journal_nanousd: int
    backend_nanousd: int
    waiting: int
    """The windows that are on their way, which the backend need not have yet."""
    waiting_nanousd: int
    drift: tuple[WindowDrift, ...]


def read_backend_export(path: Path) -> Iterator[BackendCost | BrokenRow]:
    """Yield the rows of a backend's export of its cost events: JSON, JSON lines or CSV, nested as sent or flat.

    Each needs the flush id, and `costNanousd` or `costUsd`. Raises UnreadableExport.
    """
    for place, row in read_csv(path) if is_csv(path) else read_documents(path):
        try:
            if isinstance(row, Exception):
                raise row
            yield _backend_cost(_flat(row))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield broken(place, error)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row and of its metadata, by their names in lower case without `_`."""
    fields = {**row, **(row.get("metadata") or {})}
    return {name.lower().replace("_", ""): value for name, value in fields.items()}


def _backend_cost(fields: Mapping[str, Any]) -> BackendCost:
    flush_id, nanousd = fields["flushid"], fields.get("costnanousd")
    if not isinstance(flush_id, str) or not flush_id:
        raise ValueError("flushId is no text")
    return BackendCost(
        flush_id=flush_id,
        tenant_id=str(fields.get("tenantid", "")),
        model=str(fields.get("model", "")),
        cost_nanousd=nanousd_of(fields["costusd"]) if nanousd in (None, "") else int(str(nanousd)),
    )


def compare_windows(
    windows: Iterable[ClosedWindow], stored: Iterable[BackendCost], since_s: float, until_s: float
) -> BackendComparison:
    """Compare the windows that ended in a time with all rows of the backend.

    A row of no window counts as well: its journal may be lost, or it was stored under another id.
    """
    backend: dict[str, BackendCost] = {}
    for cost in stored:
        backend[cost.flush_id] = backend[cost.flush_id] + cost if cost.flush_id in backend else cost
    counts, sums, drift = {"windows": 0, "waiting": 0}, {"journal": 0, "backend": 0, "waiting": 0}, list[WindowDrift]()
    for window in windows:
        found = backend.pop(window.flush_id, None)
        if not since_s <= window.window_end_s < until_s:
            continue
        counts["windows"] += 1
        sums["journal"] += window.cost_nanousd
        sums["backend"] += found.cost_nanousd if found else 0
        if found is None and window.sent_at_s is None and window.refused is None:
            counts["waiting"] += 1
            sums["waiting"] += window.cost_nanousd
        elif (problem := _problem(window, found)) is not None:
            drift.append(_drift(window, found, problem))
    for cost in backend.values():
        sums["backend"] += cost.cost_nanousd
        drift.append(_unknown(cost))
    return BackendComparison(
        windows=counts["windows"],
        journal_nanousd=sums["journal"],
        backend_nanousd=sums["backend"],
        waiting=counts["waiting"],
        waiting_nanousd=sums["waiting"],
        drift=tuple(drift),
    )


def acknowledged(windows: Iterable[ClosedWindow]) -> Iterator[BackendCost]:
    """Yield the windows that the backend acknowledged, in place of its own rows."""
    for window in windows:
        if window.sent_at_s is not None:
            yield BackendCost(flush_id=window.flush_id, cost_nanousd=window.cost_nanousd)


def _problem(window: ClosedWindow, found: BackendCost | None) -> str | None:
    if found is None:
        return f"parked: {window.refused}" if window.sent_at_s is None else "missing at the backend"
    if found.rows > 1:
        return f"stored {found.rows} times"
    return None if found.cost_nanousd == window.cost_nanousd else "another cost at the backend"


def _drift(window: ClosedWindow, found: BackendCost | None, problem: str) -> WindowDrift:
    return WindowDrift(
        day=day_text(int(window.window_end_s // DAY_S)),
        tenant_id=window.tenant_id,
        model=window.model,
        flush_id=window.flush_id,
        journal_nanousd=window.cost_nanousd,
        backend_nanousd=found.cost_nanousd if found else 0,
        problem=problem,
    )


def _unknown(cost: BackendCost) -> WindowDrift:
    return WindowDrift(
        day="",
        tenant_id=cost.tenant_id,
        model=cost.model,
        flush_id=cost.flush_id,
        journal_nanousd=0,
        backend_nanousd=cost.cost_nanousd,
        problem="unknown to the journal",
    )
