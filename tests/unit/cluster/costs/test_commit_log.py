"""The cost journal keeps every acknowledged entry, including after a crash of its writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.commit_log import MAX_WAITING, CommitLog
from cluster.costs.journal import Journal, JournalBusy
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Outcome
from tests.support.cost_entries import intent, settlement, spend


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock(120.0)


@pytest.fixture
async def recorder(tmp_path: Path, clock: Clock) -> AsyncIterator[CommitLog]:
    recorder = CommitLog(Journal(tmp_path / "journal.db"), clock)
    yield recorder
    await recorder.aclose()


async def test_an_intent_is_reserved_until_it_is_settled(recorder: CommitLog) -> None:
    await recorder.write([intent(estimate_nanousd=1_000)])
    before = await recorder.totals("acme")
    await recorder.write([settlement(cost_nanousd=700)])
    after = await recorder.totals("acme")
    assert (before.settled_nanousd, before.reserved_nanousd) == (0, 1_000)
    assert (after.settled_nanousd, after.reserved_nanousd) == (700, 0)


async def test_entries_sent_twice_are_counted_once(recorder: CommitLog) -> None:
    await recorder.write([intent(), intent(), settlement(), settlement(cost_nanousd=999)])
    await recorder.write([intent(), settlement()])
    totals = await recorder.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (700, 0, 1)
    assert recorder.ignored_settlements == 2


async def test_what_was_acknowledged_is_there_after_a_crash(tmp_path: Path, clock: Clock) -> None:
    first = CommitLog(Journal(tmp_path / "journal.db"), clock)
    await spend(first, "e1", 700)
    await first.write([intent("e2", estimate_nanousd=50)])
    # A crash: the lock goes with the process, nothing is closed in good order.
    first._journal._lock.release()
    again = CommitLog(Journal(tmp_path / "journal.db"), clock)
    totals = await again.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 50)
    await again.aclose()


async def test_a_reopened_journal_keeps_the_id_that_its_flush_ids_are_made_of(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.close()
    again = Journal(tmp_path / "journal.db")
    again.close()
    assert again.journal_id == journal.journal_id


async def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(JournalBusy, match="one aggregator writes one journal"):
        Journal(tmp_path / "journal.db")
    journal.close()


async def test_a_receipt_says_what_the_tenant_has_committed(recorder: CommitLog) -> None:
    receipts = await recorder.write([intent("e1", estimate_nanousd=1_000), settlement("e1"), intent("e2")])
    assert receipts == [1_000, 700, 1_700]


async def test_a_budget_counts_what_is_spent_and_what_is_reserved(recorder: CommitLog) -> None:
    await spend(recorder, "e1", 700, budget_nanousd=2_000)
    await recorder.write([intent("e2", estimate_nanousd=1_000, budget_nanousd=2_000)])
    (refusal,) = await recorder.write([intent("e3", estimate_nanousd=1_000, budget_nanousd=2_000)])
    assert isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_700 and refusal.facts["limit_nanousd"] == 2_000
    assert refusal.facts["resets_at"] == "1970-02-01T00:00:00+00:00"
    assert (await recorder.totals("acme")).reserved_nanousd == 1_000


async def test_a_budget_starts_again_with_the_month(recorder: CommitLog, clock: Clock) -> None:
    await spend(recorder, "e1", 2_000, budget_nanousd=2_000)
    clock.now_s += 32 * 86_400
    assert await recorder.write([intent("e2", budget_nanousd=2_000)]) == [1_000]


async def test_what_is_spent_is_known_without_waiting_and_is_nothing_in_a_new_month(
    recorder: CommitLog, clock: Clock
) -> None:
    await spend(recorder, "e1", 700)
    await recorder.write([intent("e2", estimate_nanousd=1_000)])
    assert recorder.spent_nanousd(["acme", "globex"]) == {"acme": 700, "globex": 0}
    clock.now_s += 32 * 86_400
    assert recorder.spent_nanousd(["acme"]) == {"acme": 0}
    await recorder.write([settlement("e2", 300)])
    assert recorder.spent_nanousd(["acme"]) == {"acme": 300}


async def test_an_intent_nobody_settled_becomes_its_estimate_and_says_so(recorder: CommitLog, clock: Clock) -> None:
    await recorder.write([intent(expires_at_s=160.0)])
    assert await recorder.seal() == 0
    clock.now_s = 161.0
    assert await recorder.seal() == 1
    totals = await recorder.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests) == (1_000, 1)


async def test_an_expired_intent_takes_its_real_cost_until_it_is_sealed(recorder: CommitLog) -> None:
    late = settlement(outcome=Outcome.EXPIRED, cost_nanousd=1_000, estimated=True)
    await recorder.write([intent(), late, settlement(cost_nanousd=700)])
    assert (await recorder.totals("acme")).settled_nanousd == 700
    await recorder.seal()
    await recorder.write([settlement(cost_nanousd=1)])
    assert (await recorder.totals("acme")).settled_nanousd == 700


async def test_a_settlement_without_its_intent_changes_nothing(recorder: CommitLog) -> None:
    await recorder.write([settlement("never-opened")])
    assert (await recorder.totals("acme")).settled_nanousd == 0
    assert recorder.ignored_settlements == 1


async def test_a_thousand_writers_at_once_are_all_kept(recorder: CommitLog) -> None:
    await asyncio.gather(*(spend(recorder, f"e{n}", n) for n in range(1_000)))
    totals = await recorder.totals("acme")
    assert (totals.requests, totals.settled_nanousd) == (1_000, sum(range(1_000)))


async def test_a_disk_that_refuses_fails_the_batch_and_changes_no_account(recorder: CommitLog) -> None:
    await spend(recorder, "e1", 700)
    broken = intent("e2", estimate_nanousd=2**63)  # more than SQLite's integers hold
    with pytest.raises(CostsUnavailable):
        await recorder.write([intent("e3"), broken])
    totals = await recorder.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 0)
    assert await recorder.write([intent("e3")]) == [1_700]


async def test_more_entries_than_may_wait_are_refused_and_counted(recorder: CommitLog) -> None:
    with pytest.raises(CostsUnavailable):
        await recorder.write([intent()] * (MAX_WAITING + 1))
    assert recorder.refused_entries == MAX_WAITING + 1


async def test_every_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as other:
        assert other.execute("SELECT journal_id FROM journal").fetchone() == (journal.journal_id,)
    other.close()
