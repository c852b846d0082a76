"""The cost journal keeps every acknowledged entry, even if its writer crashes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.commit_log import MAX_WAITING, CommitLog
from cluster.costs.journal import Journal, JournalBusy
from routing.errors import BudgetExceeded, CostsUnavailable
from tests.support.cost_entries import intent, month_spending, settlement, spend, spent_by_tenant
from tests.support.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(120.0)


@pytest.fixture
async def commit_log(tmp_path: Path, clock: ManualClock) -> AsyncIterator[CommitLog]:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), clock)
    yield commit_log
    await commit_log.aclose()


async def test_an_intent_is_reserved_until_its_settlement(commit_log: CommitLog) -> None:
    await commit_log.write([intent(estimate_nanousd=1_000)])
    before = await commit_log.totals("acme")
    await commit_log.write([settlement(cost_nanousd=700)])
    after = await commit_log.totals("acme")
    assert (before.settled_nanousd, before.reserved_nanousd) == (0, 1_000)
    assert (after.settled_nanousd, after.reserved_nanousd) == (700, 0)


async def test_entries_sent_twice_are_counted_once(commit_log: CommitLog) -> None:
    await commit_log.write([intent(), intent(), settlement(), settlement(cost_nanousd=999)])
    await commit_log.write([intent(), settlement()])
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (700, 0, 1)
    assert commit_log.counters.ignored_settlements == 2


async def test_acknowledged_entries_survive_a_crash(tmp_path: Path, clock: ManualClock) -> None:
    crashed = CommitLog(Journal(tmp_path / "journal.db"), clock)
    await spend(crashed, "e1", 700)
    await crashed.write([intent("e2", estimate_nanousd=50)])
    # A crash: the lock is released with the process, and nothing is closed.
    crashed._journal._file.release()
    restarted = CommitLog(Journal(tmp_path / "journal.db"), clock)
    totals = await restarted.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 50)
    await restarted.aclose()


async def test_a_reopened_journal_keeps_its_journal_id(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.close()
    reopened = Journal(tmp_path / "journal.db")
    reopened.close()
    assert reopened.journal_id == journal.journal_id


async def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(JournalBusy, match="one aggregator writes one journal"):
        Journal(tmp_path / "journal.db")
    journal.close()


async def test_a_receipt_holds_the_tenants_committed_total(commit_log: CommitLog) -> None:
    receipts = await commit_log.write([intent("e1", estimate_nanousd=1_000), settlement("e1"), intent("e2")])
    assert month_spending(receipts) == [1_000, 700, 1_700]


async def test_a_budget_counts_spend_and_reservations(commit_log: CommitLog) -> None:
    await spend(commit_log, "e1", 700, budget_nanousd=2_000)
    await commit_log.write([intent("e2", estimate_nanousd=1_000, budget_nanousd=2_000)])
    (refusal,) = await commit_log.write([intent("e3", estimate_nanousd=1_000, budget_nanousd=2_000)])
    assert isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_700 and refusal.facts["limit_nanousd"] == 2_000
    assert refusal.facts["resets_at"] == "1970-02-01T00:00:00+00:00"
    assert (await commit_log.totals("acme")).reserved_nanousd == 1_000


async def test_a_budget_resets_with_the_month(commit_log: CommitLog, clock: ManualClock) -> None:
    await spend(commit_log, "e1", 2_000, budget_nanousd=2_000)
    clock.now_s += 32 * 86_400
    assert month_spending(await commit_log.write([intent("e2", budget_nanousd=2_000)])) == [1_000]


async def test_the_spend_is_read_without_waiting_and_resets_with_the_month(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await spend(commit_log, "e1", 700)
    await commit_log.write([intent("e2", estimate_nanousd=1_000)])
    assert spent_by_tenant(commit_log, ["acme", "globex"]) == {"acme": 700, "globex": 0}
    clock.now_s += 32 * 86_400
    assert spent_by_tenant(commit_log, ["acme"]) == {"acme": 0}
    await commit_log.write([settlement("e2", 300)])
    assert spent_by_tenant(commit_log, ["acme"]) == {"acme": 300}


async def test_a_settlement_without_an_intent_is_ignored_and_counted(commit_log: CommitLog) -> None:
    await commit_log.write([settlement("never-opened")])
    assert (await commit_log.totals("acme")).settled_nanousd == 0
    assert commit_log.counters.ignored_settlements == 1


async def test_entries_of_a_thousand_concurrent_writers_are_all_recorded(commit_log: CommitLog) -> None:
    await asyncio.gather(*(spend(commit_log, f"e{number}", number) for number in range(1_000)))
    totals = await commit_log.totals("acme")
    assert (totals.requests, totals.settled_nanousd) == (1_000, sum(range(1_000)))


async def test_a_failed_commit_fails_its_batch_and_changes_no_account(commit_log: CommitLog) -> None:
    await spend(commit_log, "e1", 700)
    unstorable = intent("e2", opened_at_s=float("nan"))  # SQLite stores it as NULL, which the column refuses
    with pytest.raises(CostsUnavailable):
        await commit_log.write([intent("e3"), unstorable])
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 0)
    assert month_spending(await commit_log.write([intent("e3")])) == [1_700]


async def test_entries_beyond_the_queue_limit_are_rejected_and_counted(commit_log: CommitLog) -> None:
    with pytest.raises(CostsUnavailable):
        await commit_log.write([intent()] * (MAX_WAITING + 1))
    assert commit_log.counters.refused_entries == MAX_WAITING + 1


@pytest.mark.parametrize("cost_nanousd", [-1, 2**63, 10**30, float("nan")])
async def test_a_settlement_that_cannot_be_true_is_refused_and_the_others_are_written(
    commit_log: CommitLog, cost_nanousd: int
) -> None:
    await commit_log.write([intent("e1"), intent("e2")])
    await commit_log.write([settlement("e1", cost_nanousd), settlement("e2", 700)])
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 1_000)
    assert commit_log.counters.refused_entries == 1


async def test_an_estimate_that_cannot_be_true_is_refused_and_the_others_are_written(commit_log: CommitLog) -> None:
    refusal, receipt = await commit_log.write([intent("e1", estimate_nanousd=2**63), intent("e2")])
    assert isinstance(refusal, BudgetExceeded) and month_spending([receipt]) == [1_000]


async def test_every_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        assert connection.execute("SELECT journal_id FROM journal").fetchone() == (journal.journal_id,)
    connection.close()


async def test_a_commit_log_that_closes_refuses_new_entries_and_finishes_those_under_way(tmp_path: Path) -> None:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), ManualClock(120.0))
    writing = asyncio.create_task(commit_log.write([intent()]))
    await asyncio.sleep(0)
    await commit_log.aclose()
    assert month_spending(await writing) == [1_000]
    with pytest.raises(CostsUnavailable):
        await commit_log.write([settlement()])
