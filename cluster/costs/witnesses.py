"""Weigh the reports on an attempt's cost: the router's settlement, the model replica's call record, and silence."""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter

from cluster.costs.models import MOST_NANOUSD, EstimatedEvent, Knowledge, OpenIntent
from routing.models import CallRecord, Outcome, Settlement, Usage

_INTEGERS = frozenset((int,))
_units_of = attrgetter(*(unit.name for unit in fields(Usage)))


def knowledge_of_settlement(settlement: Settlement) -> Knowledge:
    """Return the rank of a router's settlement. A reservation that was withdrawn is settled for good, at zero."""
    return Knowledge.ROUTER_ESTIMATE if settlement.estimated else Knowledge.VENDOR_FINAL


def knowledge_of_record(record: CallRecord) -> Knowledge:
    """Return the rank of a model replica's record of a call."""
    if not record.ended:
        return Knowledge.EXPIRY
    return Knowledge.REPLICA_PARTIAL if record.estimated else Knowledge.VENDOR_FINAL


def plausible(report: Settlement | CallRecord) -> bool:
    """Return whether a report's figures can be true: one that cannot must not stop the commit of all others."""
    figures = (report.cost_nanousd, *_units_of(report.usage))
    # Every settlement passes here, so its figures are not visited one by one.
    return _INTEGERS.issuperset(map(type, figures)) and min(figures) >= 0 and max(figures) <= MOST_NANOUSD


def better_record(first: CallRecord, second: CallRecord) -> CallRecord:
    """Return the record of one call that knows more; the first of two equals."""
    rank = (knowledge_of_record(second), second.ended) > (knowledge_of_record(first), first.ended)
    return second if rank else first


def settlement_of(settlement: Settlement, record: CallRecord | None) -> tuple[Settlement, Knowledge]:
    """Return the settlement to book, given the model replica's record: the better known of the two costs."""
    known = knowledge_of_settlement(settlement)
    if record is None or knowledge_of_record(record) <= known:
        return settlement, known
    return _at_record(settlement, record), knowledge_of_record(record)


def expiry_of(
    intent: OpenIntent, record: CallRecord | None, unbroken_since_s: float | None
) -> tuple[Settlement, Knowledge]:
    """Return the settlement of an intent that expired without the router's.

    `unbroken_since_s` is the time since which no call record can have been lost; None while no replica is connected.
    """
    expired = Settlement(
        event_id=intent.event_id,
        outcome=Outcome.EXPIRED,
        cost_nanousd=intent.expected_nanousd,
        estimated=True,
        usage=Usage(),
    )
    if record is not None and record.ended:
        return _at_record(expired, record), knowledge_of_record(record)
    if record is not None:
        # The request left, and no report of its answer came: the cost of the expected answer, not of the longest.
        expected_nanousd = record.cost_nanousd or intent.expected_nanousd
        return replace(expired, cost_nanousd=expected_nanousd, usage=record.usage), Knowledge.EXPIRY
    if never_left(intent.witnessed, intent.arrived_at_s, unbroken_since_s):
        return replace(expired, cost_nanousd=0, estimated=False), Knowledge.NEVER_LEFT
    return expired, Knowledge.EXPIRY


def improvement_of(
    event: EstimatedEvent, record: CallRecord | None, unbroken_since_s: float | None
) -> tuple[Settlement, Knowledge] | None:
    """Return the better settlement of an event than the one that is booked; None where nothing is better known."""
    free = Settlement(event_id=event.event_id, outcome=event.outcome, cost_nanousd=0, estimated=False, usage=Usage())
    if record is not None:
        return (_at_record(free, record), knowledge_of_record(record)) if record.ended else None
    if event.known < Knowledge.NEVER_LEFT and never_left(event.witnessed, event.arrived_at_s, unbroken_since_s):
        return free, Knowledge.NEVER_LEFT
    return None


def never_left(witnessed: bool, arrived_at_s: float, unbroken_since_s: float | None) -> bool:
    """Return whether an attempt without a call record cannot have reached its vendor."""
    return witnessed and unbroken_since_s is not None and unbroken_since_s <= arrived_at_s


def _at_record(settlement: Settlement, record: CallRecord) -> Settlement:
    return replace(settlement, cost_nanousd=record.cost_nanousd, estimated=record.estimated, usage=record.usage)
