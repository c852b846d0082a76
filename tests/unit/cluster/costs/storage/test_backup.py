"""A backup that was made while costs were open and unsealed bills none of them a second time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Knowledge
from cluster.costs.storage.backup import SetAsideCosts, restore
from cluster.costs.storage.journal_file import JournalUnusable
from routing.errors import ConfigurationError
from routing.models import FlushRow
from tests.support.cost_entries import intent, month_spending, settlement, unsent
from tests.support.cost_entries import spend as spend_at
from tests.support.manual_clock import ManualClock

NOW_S = 150.0


def spend(journal: Journal, event_id: str, cost_nanousd: int) -> None:
    with journal.transaction():
        journal.add_intent(intent(event_id), arrived_at_s=100.0, expires_at_s=200.0)
        journal.settle(settlement(event_id, cost_nanousd), knowledge=Knowledge.VENDOR_FINAL, booked_at_s=110.0)


def sealed(journal: Journal) -> tuple[FlushRow, ...]:
    journal.fill_windows()
    journal.close_windows()
    return unsent(journal)


def copy_online(journal: Journal, backup: Path) -> None:
    with closing(sqlite3.connect(journal.path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)


@pytest.mark.parametrize("filling", [False, True], ids=["unsealed", "in a window that is being filled"])
def test_a_restored_journal_bills_no_cost_that_the_lost_one_has_billed(tmp_path: Path, filling: bool) -> None:
    lost = Journal(tmp_path / "lost.db")
    spend(lost, "sealed", 1_000)
    billed = {row.flush_id: row for row in sealed(lost)}
    spend(lost, "unsealed", 200)
    with lost.transaction():
        lost.add_intent(intent("open", estimate_nanousd=70), arrived_at_s=100.0, expires_at_s=200.0)
    if filling:
        lost.fill_windows()
    copy_online(lost, tmp_path / "backup.db")
    with lost.transaction():
        lost.settle(settlement("open", 30), knowledge=Knowledge.VENDOR_FINAL, booked_at_s=120.0)
    billed |= {row.flush_id: row for row in sealed(lost)}
    lost.close()

    costs = restore(tmp_path / "backup.db", tmp_path / "journal.db", NOW_S)
    assert costs == SetAsideCosts(open_events=1, open_estimate_nanousd=70, unsealed=1, unsealed_nanousd=200)
    restored = Journal(tmp_path / "journal.db")
    spend(restored, "after", 4_000)
    billed |= {row.flush_id: row for row in sealed(restored)}
    assert sum(row.cost_nanousd for row in billed.values()) == 1_000 + 200 + 30 + 4_000
    assert restored.expired(1_000.0) == []
    assert not any(one.reserved_nanousd for one in restored.ledger(1_000.0).accounts.values())
    restored.close()


@pytest.mark.parametrize("sealed_before", [False, True])
def test_a_report_that_the_lost_journal_may_have_billed_changes_nothing_after_a_restore(
    tmp_path: Path, sealed_before: bool
) -> None:
    lost = Journal(tmp_path / "lost.db")
    with lost.transaction():
        lost.add_intent(intent("cut"), arrived_at_s=100.0, expires_at_s=200.0)
        lost.settle(settlement("cut", 600), knowledge=Knowledge.ROUTER_ESTIMATE, booked_at_s=110.0)
    billed = {row.flush_id: row for row in (sealed(lost) if sealed_before else ())}
    copy_online(lost, tmp_path / "backup.db")
    better = settlement("cut", 1_000), Knowledge.VENDOR_FINAL
    with lost.transaction():
        assert lost.settle(*better, booked_at_s=120.0) is not None
    billed |= {row.flush_id: row for row in sealed(lost)}
    lost.close()

    restore(tmp_path / "backup.db", tmp_path / "journal.db", NOW_S)
    restored = Journal(tmp_path / "journal.db")
    with restored.transaction():
        # Its replica sends it again, because no aggregator has acknowledged it.
        assert restored.settle(*better, booked_at_s=160.0) is None
    billed |= {row.flush_id: row for row in sealed(restored)}
    restored.close()
    assert sum(row.cost_nanousd for row in billed.values()) == 1_000


async def test_a_restored_journal_reserves_nothing_for_costs_that_were_open(tmp_path: Path) -> None:
    clock = ManualClock(110.0)
    lost = CommitLog(Journal(tmp_path / "lost.db"), clock)
    await spend_at(lost, "settled", 1_000, budget_nanousd=5_000)
    await lost.write([intent("open", estimate_nanousd=3_000, budget_nanousd=5_000)])
    copy_online(lost._journal, tmp_path / "backup.db")
    await lost.aclose()
    restore(tmp_path / "backup.db", tmp_path / "journal.db", NOW_S)
    restored = CommitLog(Journal(tmp_path / "journal.db"), clock)
    (receipt,) = await restored.write([intent("next", estimate_nanousd=4_000, budget_nanousd=5_000)])
    assert month_spending([receipt]) == [5_000]
    await restored.aclose()


def test_a_journal_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    copy_online(journal, tmp_path / "backup.db")
    with pytest.raises(ConfigurationError, match="Stop the app"):
        restore(tmp_path / "backup.db", journal.path, NOW_S)
    journal.close()


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be read as one" * 20])
def test_a_file_that_is_no_journal_is_not_restored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup.db").write_bytes(content)
    with pytest.raises(JournalUnusable, match="cannot be restored"):
        restore(tmp_path / "backup.db", tmp_path / "journal.db", NOW_S)
    assert not (tmp_path / "journal.db").exists() and not list(tmp_path.glob("*-restoring"))
