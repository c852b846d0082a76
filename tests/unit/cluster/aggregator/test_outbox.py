"""A replica's entries reach the aggregator once each, however often the way to it breaks."""

from __future__ import annotations

import asyncio

import pytest

from cluster.aggregator.outbox import CostOutbox
from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Settlement
from tests.support.cost_entries import intent, settlement


class Aggregator:
    """The far side: writes down what arrives; `failures` calls fail first, after applying when `applies` is set."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self.failures = 0
        self.applies = False
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.refuse: set[str] = set()
        self.omit_receipts = 0

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        await self.open_gate.wait()
        if self.failures:
            self.failures -= 1
            if self.applies:
                self.batches.append(entries)
            raise ConnectionResetError
        self.batches.append(entries)
        if self.omit_receipts:
            self.omit_receipts -= 1
            return []
        return [BudgetExceeded() if entry.event_id in self.refuse else 5 for entry in entries]

    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]


@pytest.fixture
def aggregator() -> Aggregator:
    return Aggregator()


async def test_what_waits_goes_with_the_next_call(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    aggregator.open_gate.clear()
    waiting = [asyncio.create_task(outbox.reserve(intent(f"e{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    aggregator.open_gate.set()
    await asyncio.gather(*waiting)
    assert [len(batch) for batch in aggregator.batches] in ([50], [1, 49])


async def test_a_lost_reply_sends_the_same_entries_again(aggregator: Aggregator) -> None:
    aggregator.failures, aggregator.applies = 2, True
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    await outbox.settle(settlement())
    assert [entry.event_id for entry in aggregator.entries()] == ["e1", "e1", "e1"]
    assert outbox.resends == 2 and outbox.waiting == 0


async def test_a_reply_without_a_receipt_for_each_entry_sends_the_batch_again(aggregator: Aggregator) -> None:
    aggregator.omit_receipts = 1
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    assert await outbox.reserve(intent()) == 5
    assert outbox.resends == 1 and outbox.waiting == 0


async def test_a_refusal_reaches_only_the_one_it_is_for(aggregator: Aggregator) -> None:
    aggregator.refuse = {"e2"}
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    results = await asyncio.gather(*(outbox.reserve(intent(f"e{n}")) for n in (1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [int, BudgetExceeded, int]


async def test_an_intent_given_up_is_settled_at_nothing(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=0.05)
    aggregator.open_gate.clear()
    with pytest.raises(CostsUnavailable):
        await outbox.reserve(intent())
    aggregator.open_gate.set()
    await outbox.aclose()
    last = aggregator.entries()[-1]
    assert isinstance(last, Settlement) and last.cost_nanousd == 0
    assert not any(isinstance(entry, Intent) for entry in aggregator.entries()[:-1] if entry.event_id != "e1")


async def test_a_settlement_is_delivered_though_its_caller_stopped_waiting(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=0.05)
    aggregator.open_gate.clear()
    with pytest.raises(CostsUnavailable):
        await outbox.settle(settlement())
    aggregator.open_gate.set()
    await outbox.aclose()
    assert [entry.event_id for entry in aggregator.entries()] == ["e1"]


async def test_a_cancelled_caller_leaves_no_reservation_behind(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    aggregator.open_gate.clear()
    waiting = asyncio.create_task(outbox.reserve(intent()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})
    aggregator.open_gate.set()
    await outbox.aclose()
    assert isinstance(aggregator.entries()[-1], Settlement)
