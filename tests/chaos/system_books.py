"""Match the emulator's lines with the journal's events, and both with the clients' answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from routing.models import Outcome
from tests.chaos.books import BookedEvent, ClientAnswer, Comparison, VendorCost, booked_events, compare

SOON_S = 3.0
"""Between the opening of an attempt and its arrival at the vendor, on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedLine:
    """One request of a vendor's log, priced, with the tenant of its marker."""

    marker: str
    tenant_id: str
    model: str
    cost_nanousd: int
    arrived_at_s: float = 0.0
    """By the wall clock."""


@dataclass(slots=True, kw_only=True)
class BookedRequest:
    """The attempts of one request."""

    cost_nanousd: int = 0
    answered_nanousd: int = 0
    """Of the attempts that succeeded."""
    failed: bool = False
    """Whether one failed. A better report may have changed its cost after the client's answer had left."""


def compare_system(
    lines: Sequence[MarkedLine],
    rows: Sequence[Mapping[str, Any]],
    backend: Mapping[str, int],
    answers: Sequence[ClientAnswer],
) -> Comparison:
    """Compare the books of a whole system.

    No vendor logs our event ids, so a line and an event of one tenant and model are paired by cost and time.
    """
    events = booked_events(rows)
    pairs = pair(lines, events, {row["event_id"]: row for row in rows})
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
    _compare_sums(result, answers, event_of, _requests(rows, events))
    return result


def _requests(rows: Sequence[Mapping[str, Any]], events: Mapping[str, BookedEvent]) -> dict[str, BookedRequest]:
    """Return the whole request of each event: an attempt that reached no vendor has no line of its own."""
    requests: dict[str, BookedRequest] = defaultdict(BookedRequest)
    of_event = {}
    for row in rows:
        if row["corrects"]:
            continue
        request = of_event[row["event_id"]] = requests[row["request_id"]]
        cost_nanousd = events[row["event_id"]].cost_nanousd
        request.cost_nanousd += cost_nanousd
        if row["outcome"] == Outcome.OK:
            request.answered_nanousd += cost_nanousd
        else:
            request.failed = True
    return of_event


def pair(
    lines: Sequence[MarkedLine], events: Mapping[str, BookedEvent], rows: Mapping[str, Mapping[str, Any]]
) -> dict[int, str]:
    """Return the event of each line by the line's place.

    Lines and events of equal cost and about one time come first, then those of equal cost, then estimates of any cost.
    A line without a cost, of a refused call, has no event to be paired with.
    """
    by_model: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event_id, event in events.items():
        if event_id in rows:
            by_model[event.tenant_id, rows[event_id]["model"]].append(event_id)
    candidates = []
    for number, line in enumerate(lines):
        for event_id in by_model[line.tenant_id, line.model] if line.cost_nanousd else ():
            event = events[event_id]
            apart_s = abs(line.arrived_at_s - rows[event_id]["opened_at_s"])
            if event.cost_nanousd == line.cost_nanousd:
                candidates.append((0 if apart_s < SOON_S else 1, apart_s, number, event_id))
            elif event.estimated:
                candidates.append((2, apart_s, number, event_id))
    pairs: dict[int, str] = {}
    paired: set[str] = set()
    for _, _, number, event_id in sorted(candidates):
        if number not in pairs and event_id not in paired:
            pairs[number] = event_id
            paired.add(event_id)
    return pairs


def _of_event(answer: ClientAnswer, event_ids: Sequence[str]) -> ClientAnswer | None:
    """Return the answer under its one event; None where it has none or several, whose sum is compared instead."""
    return replace(answer, marker=event_ids[0]) if len(event_ids) == 1 and answer.status != "ok" else None


def _compare_sums(
    result: Comparison,
    answers: Sequence[ClientAnswer],
    event_of: Mapping[str, Sequence[str]],
    requests: Mapping[str, BookedRequest],
) -> None:
    for answer in answers:
        event_ids = event_of.get(answer.marker, ())
        if answer.status == "ok" and not _is_sum(answer.cost_nanousd, [requests[one] for one in event_ids]):
            booked = sorted({requests[event_id].cost_nanousd for event_id in event_ids})
            costs = f"{answer.cost_nanousd} nUSD to the client, {booked} for its request"
            result.differences.append(f"{answer.marker} of {answer.tenant_id}: {costs}")
        if answer.nothing_asked and len(event_ids) > 1:
            result.differences.append(f"{answer.marker}: the client was told that nothing was asked, and a vendor was")


def _is_sum(cost_nanousd: int, requests: Sequence[BookedRequest]) -> bool:
    """Return whether the events of an answer are of one request, and the answer's cost is the sum of its attempts."""
    if not requests or any(request is not requests[0] for request in requests):
        return False
    request = requests[0]
    return cost_nanousd == request.cost_nanousd or (request.failed and cost_nanousd >= request.answered_nanousd)
