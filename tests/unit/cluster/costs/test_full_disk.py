"""While the disk takes no commit nothing is billed or answered, and the costs go on when there is room."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from routing.errors import CostsUnavailable
from tests.support.cost_entries import intent, settlement, spend, spent_by_tenant


@pytest.fixture
async def commit_log(tmp_path: Path) -> AsyncIterator[CommitLog]:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), lambda: 120.0)
    yield commit_log
    await commit_log.aclose()


def fill_disk(journal: Journal, free_pages: int) -> None:
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages + free_pages}")


async def test_entries_fail_while_the_disk_is_full_and_go_on_when_there_is_room(commit_log: CommitLog) -> None:
    journal = commit_log._journal
    await spend(commit_log, "e1", 700)
    await commit_log.write([intent("e2", estimate_nanousd=1_000)])
    fill_disk(journal, 0)
    # Neither fits into the pages that are left: no vendor is called, and no answer leaves.
    with pytest.raises(CostsUnavailable):
        await commit_log.write([intent(f"large-{number}", room="r" * 4_000) for number in range(10)])
    with pytest.raises(CostsUnavailable):
        await commit_log.write([settlement("e2", 30), *(intent(f"more-{n}", room="r" * 4_000) for n in range(10))])
    assert not journal.writable
    fill_disk(journal, 1_000)
    await commit_log.write([settlement("e2", 30)])
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (730, 0, 2)
    assert spent_by_tenant(commit_log, ["acme"]) == {"acme": 730}


async def test_readiness_returns_by_itself_when_there_is_room(commit_log: CommitLog) -> None:
    journal = commit_log._journal
    journal._db.execute("PRAGMA query_only = 1")
    with pytest.raises(CostsUnavailable):
        await spend(commit_log, "e1", 700)
    with pytest.raises(CostsUnavailable):
        await commit_log.totals("acme")
    journal._db.execute("PRAGMA query_only = 0")
    assert (await commit_log.totals("acme")).settled_nanousd == 0


async def test_an_idle_journal_whose_disk_takes_no_commit_is_not_ready_before_a_request_fails(
    commit_log: CommitLog,
) -> None:
    journal = commit_log._journal
    await commit_log.check_writable()
    await spend(commit_log, "e1", 700)
    journal._db.execute("PRAGMA query_only = 1")
    # The last commit still proves the disk, and no commit is made for each check.
    await commit_log.check_writable()
    journal.committed_at_s = -math.inf
    with pytest.raises(CostsUnavailable):
        await commit_log.check_writable()
    journal._db.execute("PRAGMA query_only = 0")
    await commit_log.check_writable()
