"""Costs count in the month in which they are booked, for a ledger that ran on and for one that restarted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from tests.support.cost_entries import intent, month_spending, settlement, spend, spent_by_tenant, unsent
from tests.support.manual_clock import ManualClock

DECEMBER_S = dt.datetime(2026, 12, 1, tzinfo=dt.UTC).timestamp()


async def restarted_spend(path: Path, clock: ManualClock) -> dict[str, int]:
    commit_log = CommitLog(Journal(path), clock)
    spent = spent_by_tenant(commit_log, ["acme"])
    await commit_log.aclose()
    return spent


async def test_a_reservation_over_the_months_end_counts_in_the_new_month(tmp_path: Path) -> None:
    clock = ManualClock(DECEMBER_S - 10)
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), clock)
    await spend(commit_log, "november", 600)
    await commit_log.write([intent("open", estimate_nanousd=80, budget_nanousd=1_000)])
    clock.now_s = DECEMBER_S + 1
    assert spent_by_tenant(commit_log, ["acme"]) == {"acme": 0}
    assert month_spending(await commit_log.write([settlement("open", 70)])) == [70]
    live = spent_by_tenant(commit_log, ["acme"])
    await commit_log.aclose()
    assert live == await restarted_spend(tmp_path / "journal.db", clock) == {"acme": 70}


async def test_a_better_figure_for_an_event_of_the_last_month_leaves_this_months_budget_alone(tmp_path: Path) -> None:
    clock = ManualClock(DECEMBER_S - 10)
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), clock)
    await commit_log.write([intent(), settlement(cost_nanousd=900, estimated=True)])
    clock.now_s = DECEMBER_S + 1
    await commit_log.write([settlement(cost_nanousd=100)])
    live = spent_by_tenant(commit_log, ["acme"])
    await commit_log.aclose()
    assert live == await restarted_spend(tmp_path / "journal.db", clock) == {"acme": 0}


async def test_a_window_never_mixes_two_months(tmp_path: Path) -> None:
    clock = ManualClock(DECEMBER_S - 8)
    journal = Journal(tmp_path / "journal.db")
    commit_log = CommitLog(journal, clock)
    await spend(commit_log, "november", 1_000)
    clock.now_s = DECEMBER_S + 3
    await spend(commit_log, "december", 5)
    assert await commit_log.seal() == 2
    rows = await commit_log.run_on_journal_thread(lambda: unsent(journal))
    assert sorted((row.cost_nanousd, row.window_end_s < DECEMBER_S) for row in rows) == [(5, False), (1_000, True)]
    await commit_log.aclose()


async def test_one_sealing_reaches_all_that_was_spent_before_it(tmp_path: Path) -> None:
    clock = ManualClock(DECEMBER_S - 3_600)
    journal = Journal(tmp_path / "journal.db")
    commit_log = CommitLog(journal, clock)
    for number in range(8):
        await spend(commit_log, f"e{number}", 2**number)
        clock.now_s += 600
    assert await commit_log.seal() == 5
    rows = await commit_log.run_on_journal_thread(lambda: unsent(journal))
    # One event every ten minutes, in five quarters of an hour.
    assert [row.cost_nanousd for row in rows] == [1 + 2, 4, 8 + 16, 32, 64 + 128]
    assert await commit_log.seal() == 0
    await commit_log.aclose()
