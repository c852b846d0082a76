"""Entries and receipts come out of a message as they went in, and any other message is refused."""

from __future__ import annotations

import pytest

from cluster.aggregator.messages import (
    BadMessage,
    pack_entries,
    pack_receipts,
    pack_refusal,
    unpack_entries,
    unpack_receipts,
)
from cluster.costs.models import Entry
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Outcome, Usage
from tests.support.cost_entries import intent, settlement


def test_entries_come_out_of_a_message_as_they_went_in() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=1, audio_ms=7)
    entries: list[Entry] = [
        intent(budget_nanousd=5),
        settlement(usage=usage, outcome=Outcome.CANCELLED),
        intent("é", room="r"),
    ]
    assert unpack_entries(pack_entries(entries)) == entries


def test_receipts_come_out_of_a_message_as_they_went_in() -> None:
    refusal = BudgetExceeded(spent_nanousd=1, limit_nanousd=2, resets_at="1970-02-01T00:00:00Z")
    first, second = unpack_receipts(pack_receipts([700, refusal]))
    assert first == 700 and isinstance(second, BudgetExceeded) and second.facts == refusal.facts


def test_a_refusal_of_the_whole_batch_is_raised() -> None:
    with pytest.raises(CostsUnavailable) as refused:
        unpack_receipts(pack_refusal(CostsUnavailable(retry_after_s=3.0)))
    assert refused.value.retry_after_s == 3.0


@pytest.mark.parametrize(
    "message", [b"", b"[1]", b"[[]]", b'[["e1"]]', b"\xff", b'[["e1","?",1,false,{},1.0]]', b"[" * 100_000]
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
