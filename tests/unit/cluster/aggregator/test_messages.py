"""Entries and receipts come out of a message as they went in, and any other message is refused."""

from __future__ import annotations

import json

import pytest

from cluster.aggregator.messages import (
    WIRE_VERSION,
    BadMessage,
    pack_entries,
    pack_receipts,
    pack_records,
    pack_refusal,
    understands,
    unpack_entries,
    unpack_receipts,
    unpack_records,
)
from cluster.costs.models import Entry
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Outcome, Spending, Usage
from tests.support.cost_entries import call_record, intent, settlement


def test_entries_come_out_of_a_message_as_they_went_in() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=1, audio_ms=7)
    entries: list[Entry] = [
        intent(budget_nanousd=5, budget_alerts=(0.5, 0.9)),
        settlement(usage=usage, outcome=Outcome.CANCELLED),
        intent("é", room="r", budget_alerts=()),
    ]
    assert unpack_entries(pack_entries(entries)) == entries


def test_call_records_come_out_of_a_message_as_they_went_in() -> None:
    records = [call_record(ended=False, usage=Usage()), call_record("e2", usage=Usage(audio_ms=7))]
    assert unpack_records(pack_records(records)) == records


def test_a_field_that_a_newer_version_adds_is_ignored() -> None:
    message = json.loads(pack_entries([intent("e1"), settlement("e1")]))
    for kind, row in zip(message["kinds"], message["rows"], strict=True):
        kind[1].insert(2, "future")
        row.insert(3, {"of": "another version"})
    message["rows"][1][-1] |= {"smell_units": 3}
    assert unpack_entries(json.dumps(message).encode()) == [intent("e1"), settlement("e1")]


def test_a_field_that_an_older_version_lacks_takes_its_default() -> None:
    message = json.loads(pack_entries([intent("e1", participant="ada", witnessed=True)]))
    for name in ("participant", "witnessed"):
        at = message["kinds"][0][1].index(name)
        del message["kinds"][0][1][at], message["rows"][0][at + 1]
    assert unpack_entries(json.dumps(message).encode()) == [intent("e1")]


def test_the_order_of_the_fields_is_the_senders() -> None:
    message = json.loads(pack_entries([settlement("e1")]))
    message["kinds"][1][1].reverse()
    kind, *values = message["rows"][0]
    message["rows"][0] = [kind, *reversed(values)]
    assert unpack_entries(json.dumps(message).encode()) == [settlement("e1")]


@pytest.mark.parametrize(
    ("version", "understood"),
    [(str(WIRE_VERSION + change), abs(change) <= 1) for change in (-2, -1, 0, 1, 2)]
    + [(None, False), ("", False), ("9" * 5_000, False), ("two", False)],
)
def test_only_neighbouring_versions_are_understood(version: str | None, understood: bool) -> None:
    assert understands(version) is understood


def test_receipts_come_out_of_a_message_as_they_went_in() -> None:
    refusal = BudgetExceeded(spent_nanousd=1, limit_nanousd=2, resets_at="1970-02-01T00:00:00Z")
    spending = Spending(month_nanousd=700, day_nanousd=70, room_nanousd=7)
    first, second = unpack_receipts(pack_receipts([spending, refusal]))
    assert first == spending and isinstance(second, BudgetExceeded) and second.facts == refusal.facts


def test_a_refusal_of_the_whole_batch_is_raised() -> None:
    with pytest.raises(CostsUnavailable) as refused:
        unpack_receipts(pack_refusal(CostsUnavailable(retry_after_s=3.0)))
    assert refused.value.retry_after_s == 3.0


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"[1]", b"[[]]", b"{}", b"\xff", b"[" * 100_000, b'{"kinds":[],"rows":[[0]]}'),
        b'{"kinds":[["secret",["event_id"]]],"rows":[]}',
        b'{"kinds":[["settlement",["event_id"]]],"rows":[[0,"e1"]]}',
        pack_records([call_record()]),
        pack_entries([intent()])[:-2] + b",7]}",
    ],
)
def test_a_message_of_another_form_is_refused_without_quoting_it(message: bytes) -> None:
    with pytest.raises(BadMessage, match="cannot be decoded"):
        unpack_entries(message)


@pytest.mark.parametrize("message", [b"", b"1", b"{}", b"[true, []]", b"\xff"])
def test_a_reply_of_another_form_is_refused(message: bytes) -> None:
    with pytest.raises(BadMessage, match="cannot be decoded"):
        unpack_receipts(message)


def test_the_receipt_for_a_closed_room_is_its_error() -> None:
    (receipt,) = unpack_receipts(pack_receipts([RoomClosed()]))
    assert isinstance(receipt, RoomClosed)
