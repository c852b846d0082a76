"""Call records are kept until the cost is final, and no longer, and never more than the bound."""

from __future__ import annotations

from cluster.costs.call_records import LONGEST_LIFETIME_S, CallRecordStore
from cluster.costs.models import EstimatedEvent, Knowledge
from routing.models import Outcome
from tests.support.cost_entries import call_record


def estimated(event_id: str, until_s: float = 220.0) -> EstimatedEvent:
    return EstimatedEvent(
        event_id=event_id,
        outcome=Outcome.CANCELLED,
        known=Knowledge.ROUTER_ESTIMATE,
        arrived_at_s=100.0,
        witnessed=True,
        until_s=until_s,
    )


def test_the_better_of_two_records_is_kept_in_any_order() -> None:
    sent, cut = call_record(ended=False), call_record(cost_nanousd=300, estimated=True)
    final = call_record(cost_nanousd=500)
    for records in ((sent, cut, final), (final, cut, sent), (cut, final, sent, cut)):
        store = CallRecordStore()
        for record in records:
            store.add(record, 100.0)
        assert store.find("e1") == final


def test_a_record_after_the_final_cost_is_ignored() -> None:
    store = CallRecordStore()
    store.add(call_record(ended=False), 100.0)
    store.close("e1")
    store.add(call_record(), 101.0)
    assert store.find("e1") is None and len(store) == 0


def test_over_the_bound_the_oldest_record_is_dropped_and_counted() -> None:
    store = CallRecordStore(max_records=2)
    for number in range(3):
        store.add(call_record(f"e{number}"), 100.0 + number)
    assert store.find("e0") is None and len(store) == 2 and store.dropped == 1


def test_a_record_that_no_event_needs_is_forgotten() -> None:
    store = CallRecordStore()
    store.add(call_record("old"), 100.0)
    store.add(call_record("young"), 200.0)
    store.due(100.0 + LONGEST_LIFETIME_S, limit=10)
    assert store.find("old") is None and store.find("young") is not None
    assert store.dropped == 0


def test_an_estimated_event_is_due_once_its_record_has_ended_or_its_time_is_over() -> None:
    store = CallRecordStore()
    for event_id in ("reported", "sent", "late"):
        store.watch(estimated(event_id))
    store.add(call_record("reported"), 101.0)
    store.add(call_record("sent", ended=False), 101.0)
    assert [event.event_id for event, _ in store.due(102.0, limit=10)] == ["reported"]
    store.close("reported")
    assert store.due(219.0, limit=10) == []
    assert [(event.event_id, record is None) for event, record in store.due(220.0, limit=10)] == [
        ("sent", False),
        ("late", True),
    ]
