"""Every entry of a replica is recorded once, however often the connection to the aggregator breaks."""

from __future__ import annotations

import asyncio

import pytest

from cluster.aggregator.outbox import CostOutbox
from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Outcome, Settlement, Spending
from tests.support.cost_entries import intent, settlement


class Aggregator:
    """Records its batches. The first `failures_left` calls fail, with `fails_after_write` after recording."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self.failures_left = 0
        self.fails_after_write = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.rejected_ids: set[str] = set()
        self.omit_receipts = 0

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        await self.gate.wait()
        if self.failures_left:
            self.failures_left -= 1
            if self.fails_after_write:
                self.batches.append(entries)
            raise ConnectionResetError
        self.batches.append(entries)
        if self.omit_receipts:
            self.omit_receipts -= 1
            return []
        return [
            BudgetExceeded() if entry.event_id in self.rejected_ids else Spending(month_nanousd=5) for entry in entries
        ]

    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]


@pytest.fixture
def aggregator() -> Aggregator:
    return Aggregator()


async def test_pending_entries_are_sent_with_the_next_call(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    aggregator.gate.clear()
    waiting = [asyncio.create_task(outbox.reserve(intent(f"e{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    aggregator.gate.set()
    await asyncio.gather(*waiting)
    assert [len(batch) for batch in aggregator.batches] in ([50], [1, 49])


async def test_entries_are_resent_after_a_lost_reply(aggregator: Aggregator) -> None:
    aggregator.failures_left, aggregator.fails_after_write = 2, True
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    await outbox.settle(settlement())
    assert [entry.event_id for entry in aggregator.entries()] == ["e1", "e1", "e1"]
    assert outbox.resends == 2 and outbox.waiting == 0


async def test_a_reply_without_a_receipt_for_each_entry_sends_the_batch_again(aggregator: Aggregator) -> None:
    aggregator.omit_receipts = 1
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    assert await outbox.reserve(intent()) == Spending(month_nanousd=5)
    assert outbox.resends == 1 and outbox.waiting == 0


async def test_a_rejection_raises_only_for_its_own_caller(aggregator: Aggregator) -> None:
    aggregator.rejected_ids = {"e2"}
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    results = await asyncio.gather(
        *(outbox.reserve(intent(f"e{number}")) for number in (1, 2, 3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [Spending, BudgetExceeded, Spending]


async def test_an_intent_that_timed_out_is_settled_at_zero(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=0.05)
    aggregator.gate.clear()
    with pytest.raises(CostsUnavailable):
        await outbox.reserve(intent())
    aggregator.gate.set()
    await outbox.aclose()
    last = aggregator.entries()[-1]
    assert isinstance(last, Settlement) and last.cost_nanousd == 0
    assert not any(isinstance(entry, Intent) for entry in aggregator.entries()[:-1] if entry.event_id != "e1")


async def test_a_settlement_is_delivered_after_its_caller_timed_out(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=0.05)
    aggregator.gate.clear()
    with pytest.raises(CostsUnavailable):
        await outbox.settle(settlement())
    aggregator.gate.set()
    await outbox.aclose()
    assert [entry.event_id for entry in aggregator.entries()] == ["e1"]


async def test_a_cancelled_caller_leaves_no_reservation(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=5)
    aggregator.gate.clear()
    waiting = asyncio.create_task(outbox.reserve(intent()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})
    aggregator.gate.set()
    await outbox.aclose()
    assert isinstance(aggregator.entries()[-1], Settlement)


async def test_an_error_tells_whether_a_vendor_was_called(aggregator: Aggregator) -> None:
    outbox = CostOutbox(aggregator.write, timeout_s=0.02)
    aggregator.gate.clear()
    with pytest.raises(CostsUnavailable, match="this attempt called no vendor"):
        await outbox.reserve(intent())
    with pytest.raises(CostsUnavailable, match=r"A vendor was called.*recorded later") as called:
        await outbox.settle(settlement())
    assert called.value.facts == {"vendor_called": True}
    with pytest.raises(CostsUnavailable) as free:
        await outbox.settle(settlement(cost_nanousd=0, outcome=Outcome.ERROR))
    assert "vendor" not in free.value.message
    aggregator.gate.set()
    await outbox.aclose()
