"""Checkpoints run beside commits, and keep the write-ahead log short."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.checkpointer import Checkpointer
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.journal_reader import read_settled_nanousd
from tests.support.cost_entries import spend


@pytest.fixture
async def checkpointer(tmp_path: Path) -> AsyncIterator[Checkpointer]:
    journal = Journal(tmp_path / "journal.db")
    commit_log = CommitLog(journal, lambda: 120.0)
    yield Checkpointer(commit_log, journal)
    await commit_log.aclose()


async def test_a_checkpoint_merges_the_commits_and_the_log_starts_again(checkpointer: Checkpointer) -> None:
    path, sizes = checkpointer.journal.path, []
    for round_ in range(4):
        for number in range(5):
            await spend(checkpointer.commit_log, f"e{round_}-{number}", 10)
        await checkpointer.try_once()
        sizes.append(path.with_name("journal.db-wal").stat().st_size)
    assert sizes[-1] <= sizes[0] and checkpointer.failures == 0
    alone = path.with_name("alone.db")
    shutil.copyfile(path, alone)
    assert read_settled_nanousd(alone) == {"acme": 200}


async def test_a_failed_checkpoint_is_counted_and_the_costs_stay(checkpointer: Checkpointer) -> None:
    await spend(checkpointer.commit_log, "e1", 700)
    checkpointer.journal.path = checkpointer.journal.path.parent / "missing" / "journal.db"
    await checkpointer.try_once()
    assert checkpointer.failures == 1
    assert (await checkpointer.commit_log.totals("acme")).settled_nanousd == 700
