"""Match the vendor's log, the journal, the backend and the clients' answers one to one, and name every difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.costs.models import Knowledge
from routing.units import NANOUSD_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCost:
    """One call in a vendor's log, priced."""

    marker: str
    tenant_id: str
    cost_nanousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAnswer:
    """The end of one request as its client saw it."""

    marker: str
    tenant_id: str
    status: str
    cost_nanousd: int
    nothing_asked: bool
    """The client was told that no vendor was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The costs that a lost journal leaves unbilled, after a backup of it was restored."""

    unbilled_nanousd: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Settled costs in windows that the backend never got, by tenant and month."""
    open_events: frozenset[str] = frozenset()
    """Events that were open when their journal was lost."""


@dataclass(slots=True, kw_only=True)
class BookedEvent:
    """One event of the journal with all its corrections."""

    tenant_id: str
    cost_nanousd: int = 0
    estimated: int = 0
    knowledge: Knowledge = Knowledge.EXPIRY


@dataclass(slots=True, kw_only=True)
class Comparison:
    """The result of one run. It passes without a difference."""

    events: int = 0
    vendor_calls: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    vendor_nanousd: int = 0
    journal_nanousd: int = 0
    backend_nanousd: int = 0
    lost_events: int = 0
    """Vendor calls that were open in a journal that was lost."""
    lost_nanousd: int = 0
    """The cost of those, and of the windows that were lost before the backend had them."""
    corrections: int = 0
    estimates: int = 0
    estimates_of_stayed: int = 0
    """Estimates, without those whose client left: the vendor of a broken stream reports no final usage."""
    estimated_nanousd: int = 0
    estimates_vendor_nanousd: int = 0
    estimates_by_knowledge: dict[str, list[int]] = field(default_factory=dict)
    """By the name of the knowledge: events, booked and vendor's nano-dollars."""
    never_left: list[str] = field(default_factory=list)
    """Events that are billed at an estimate although no call reached a vendor."""
    differences: list[str] = field(default_factory=list)

    @property
    def estimate_error(self) -> float:
        """The sum of all estimates against the vendor's log of the same events, as a share of the latter."""
        return (self.estimated_nanousd - self.estimates_vendor_nanousd) / max(1, self.estimates_vendor_nanousd)


NO_LOSS = Loss()


def booked_events(rows: Iterable[Mapping[str, Any]]) -> dict[str, BookedEvent]:
    """Return the events of a journal's rows by event id, corrections added to the event that they correct."""
    events: dict[str, BookedEvent] = {}
    for row in rows:
        event = events.setdefault(row["corrects"] or row["event_id"], BookedEvent(tenant_id=row["tenant_id"]))
        event.cost_nanousd += row["cost_nanousd"]
        event.estimated += int(row["estimated"])
        event.knowledge = max(event.knowledge, Knowledge(row["knowledge"]))
    return events


def compare(
    vendor: Sequence[VendorCost],
    rows: Sequence[Mapping[str, Any]],
    backend: Mapping[str, int],
    answers: Sequence[ClientAnswer],
    loss: Loss = NO_LOSS,
) -> Comparison:
    """Compare the four books of one run. `rows` are the settled events of the journal, and of those that were lost."""
    events, lines = booked_events(rows), {line.marker: line for line in vendor}
    result = Comparison(
        events=len(events), vendor_calls=len(vendor), corrections=sum(bool(r["corrects"]) for r in rows)
    )
    result.answers.update(answer.status for answer in answers)
    result.vendor_nanousd = sum(line.cost_nanousd for line in vendor)
    result.journal_nanousd = sum(event.cost_nanousd for event in events.values())
    result.backend_nanousd = sum(backend.values())
    result.lost_nanousd = loss.unbilled_nanousd.total()
    _compare_lines(result, vendor, events, loss)
    for marker, event in events.items():
        _compare_event(result, marker, event, lines.get(marker))
    _compare_totals(result, events, backend, loss)
    left = {answer.marker for answer in answers if answer.status == "left"}
    result.estimates_of_stayed = sum(1 for marker, event in events.items() if event.estimated and marker not in left)
    for answer in answers:
        _compare_answer(result, answer, events, lines)
    return result


def compare_months(
    rows: Sequence[Mapping[str, Any]], windows: Sequence[Mapping[str, Any]], loss: Loss = NO_LOSS
) -> list[str]:
    """Return the tenants' months in which the journal's events and the backend's windows differ."""
    journal: Counter[tuple[str, str]] = Counter()
    backend: Counter[tuple[str, str]] = Counter()
    for row in rows:
        journal[row["tenant_id"], _month_name(row["month"])] += row["cost_nanousd"]
    for (tenant, month), cost_nanousd in loss.unbilled_nanousd.items():
        journal[tenant, _month_name(month)] -= cost_nanousd
    for window in windows:
        first, last = window["metadata"]["windowStart"][:7], window["timestamp"][:7]
        if first != last:
            return [f"{window['tenantId']}: a window from {first} ends in {last}"]
        backend[window["tenantId"], last] += round(window["costUsd"] * NANOUSD_PER_USD)
    keys = sorted({*journal, *backend})
    return [
        f"{tenant} in {month}: journal {journal[tenant, month]}, backend {backend[tenant, month]} nUSD"
        for tenant, month in keys
        if journal[tenant, month] != backend[tenant, month]
    ]


def _month_name(month: int) -> str:
    return f"{month // 100}-{month % 100:02d}"


def _compare_lines(
    result: Comparison, vendor: Sequence[VendorCost], events: Mapping[str, BookedEvent], loss: Loss
) -> None:
    repeated = [marker for marker, times in Counter(line.marker for line in vendor).items() if times > 1]
    result.differences += [f"{marker}: the vendor has more than one call of it" for marker in repeated]
    for line in vendor:
        event = events.get(line.marker)
        if event is None and line.marker in loss.open_events:
            result.lost_events += 1
            result.lost_nanousd += line.cost_nanousd
        elif event is None:
            result.differences.append(f"{line.marker}: a vendor call of {line.cost_nanousd} nUSD without an event")
        elif event.tenant_id != line.tenant_id:
            result.differences.append(f"{line.marker}: billed to {event.tenant_id} instead of {line.tenant_id}")


def _compare_event(result: Comparison, marker: str, event: BookedEvent, line: VendorCost | None) -> None:
    cost_nanousd = 0 if line is None else line.cost_nanousd
    if event.estimated not in (0, 1):
        result.differences.append(f"{marker}: its corrections count {event.estimated} estimates")
    if event.estimated:
        result.estimates += 1
        result.estimated_nanousd += event.cost_nanousd
        result.estimates_vendor_nanousd += cost_nanousd
        sums = result.estimates_by_knowledge.setdefault(event.knowledge.name, [0, 0, 0])
        for place, added in enumerate((1, event.cost_nanousd, cost_nanousd)):
            sums[place] += added
        if line is None and event.cost_nanousd:
            name = event.knowledge.name
            result.never_left.append(f"{marker}: {event.cost_nanousd} nUSD ({name}) for a call that never left")
    elif event.cost_nanousd != cost_nanousd:
        booked = f"{event.cost_nanousd} nUSD ({event.knowledge.name})"
        result.differences.append(f"{marker}: {booked} booked as exact, the vendor has {cost_nanousd}")


def _compare_totals(
    result: Comparison, events: Mapping[str, BookedEvent], backend: Mapping[str, int], loss: Loss
) -> None:
    journal: dict[str, int] = defaultdict(int)
    for event in events.values():
        journal[event.tenant_id] += event.cost_nanousd
    for (tenant, _), cost_nanousd in loss.unbilled_nanousd.items():
        journal[tenant] -= cost_nanousd
    for tenant in sorted({*journal, *backend}):
        if journal[tenant] != backend.get(tenant, 0):
            sums = f"journal {journal[tenant]}, backend {backend.get(tenant, 0)} nUSD"
            result.differences.append(f"{tenant}: {sums}, {backend.get(tenant, 0) - journal[tenant]:+d}")


def _compare_answer(
    result: Comparison, answer: ClientAnswer, events: Mapping[str, BookedEvent], lines: Mapping[str, VendorCost]
) -> None:
    event, line = events.get(answer.marker), lines.get(answer.marker)
    if answer.nothing_asked and line is not None:
        result.differences.append(f"{answer.marker}: the client was told that nothing was asked, and a vendor was")
    if answer.status != "ok":
        return
    if event is None or line is None:
        result.differences.append(f"{answer.marker}: answered without {'an event' if event is None else 'a call'}")
    elif event.cost_nanousd != answer.cost_nanousd:
        costs = f"{answer.cost_nanousd} nUSD to the client, {event.cost_nanousd} in the journal"
        result.differences.append(f"{answer.marker}: {costs}")
