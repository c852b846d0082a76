"""Match the emulator's lines with the journal's events, and both with the clients' answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.books import BookedEvent, ClientAnswer, Comparison, VendorCost, booked_events, compare


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedLine:
    """One request of a vendor's log, priced, with the tenant of its marker."""

    marker: str
    tenant_id: str
    model: str
    cost_nanousd: int


def compare_system(
    lines: Sequence[MarkedLine],
    rows: Sequence[Mapping[str, Any]],
    backend: Mapping[str, int],
    answers: Sequence[ClientAnswer],
) -> Comparison:
    """Compare the books of a whole system.

    No vendor logs our event ids, so a line and an event of one tenant and model are a pair if their costs are equal,
    and what is left of both is paired in the order of time: those events are estimates.
    """
    events = booked_events(rows)
    models = {row["event_id"]: row["model"] for row in rows}
    pairs = pair(lines, events, models)
    event_of: dict[str, list[str]] = defaultdict(list)
    vendor = []
    for number, line in enumerate(lines):
        event_id = pairs.get(number)
        if event_id is not None:
            event_of[line.marker].append(event_id)
        elif not line.cost_nanousd:
            continue
        vendor.append(
            VendorCost(
                marker=event_id or f"{line.marker} at {line.model}",
                tenant_id=line.tenant_id,
                cost_nanousd=line.cost_nanousd,
            )
        )
    single = [_of_event(answer, event_of[answer.marker]) for answer in answers]
    result = compare(vendor, rows, backend, [answer for answer in single if answer is not None])
    result.answers.clear()
    result.answers.update(answer.status for answer in answers)
    _compare_sums(result, answers, event_of, _costs_of_requests(rows, events))
    return result


def _costs_of_requests(rows: Sequence[Mapping[str, Any]], events: Mapping[str, BookedEvent]) -> dict[str, int]:
    """Return the cost of the whole request of each event: an attempt that reached no vendor has no line of its own."""
    requests = {row["event_id"]: row["request_id"].partition("-")[0] for row in rows if not row["corrects"]}
    costs: Counter[str] = Counter()
    for event_id, request in requests.items():
        costs[request] += events[event_id].cost_nanousd
    return {event_id: costs[request] for event_id, request in requests.items()}


def pair(lines: Sequence[MarkedLine], events: Mapping[str, BookedEvent], models: Mapping[str, str]) -> dict[int, str]:
    """Return the event of each line by the line's place: first those of equal cost, then estimates of any."""
    exact: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    estimated: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event_id, event in events.items():
        model = models.get(event_id, "")
        if event.estimated:
            estimated[event.tenant_id, model].append(event_id)
        else:
            exact[event.tenant_id, model, event.cost_nanousd].append(event_id)
    pairs: dict[int, str] = {}
    for number, line in enumerate(lines):
        if found := exact[line.tenant_id, line.model, line.cost_nanousd]:
            pairs[number] = found.pop(0)
    for number, line in enumerate(lines):
        left = estimated[line.tenant_id, line.model]
        if number not in pairs and left:
            costs = [abs(events[one].cost_nanousd - line.cost_nanousd) for one in left]
            pairs[number] = left.pop(costs.index(min(costs)))
    return pairs


def _of_event(answer: ClientAnswer, event_ids: Sequence[str]) -> ClientAnswer | None:
    """Return the answer under its one event; None where it has none or several, whose sum is compared instead."""
    return replace(answer, marker=event_ids[0]) if len(event_ids) == 1 and answer.status != "ok" else None


def _compare_sums(
    result: Comparison,
    answers: Sequence[ClientAnswer],
    event_of: Mapping[str, Sequence[str]],
    costs_of_requests: Mapping[str, int],
) -> None:
    for answer in answers:
        booked = {costs_of_requests[event_id] for event_id in event_of.get(answer.marker, ())}
        if answer.status == "ok" and booked != {answer.cost_nanousd}:
            costs = f"{answer.cost_nanousd} nUSD to the client, {sorted(booked)} for its request"
            result.differences.append(f"{answer.marker} of {answer.tenant_id}: {costs}")
        if answer.nothing_asked and len(event_of.get(answer.marker, ())) > 1:
            result.differences.append(f"{answer.marker}: the client was told that nothing was asked, and a vendor was")
