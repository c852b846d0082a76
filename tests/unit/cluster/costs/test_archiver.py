"""The archiver keeps the journal's file small while entries are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs import archiver as archiver_module
from cluster.costs.archiver import Archiver
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import KEPT_S, Journal
from cluster.costs.journal_reader import sum_events
from cluster.costs.storage.month_files import month_paths
from routing.units import DAY_S
from tests.support.cost_entries import spend


class Clock:
    now_s = 120.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def archiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archiver]:
    monkeypatch.setattr(archiver_module, "PAUSE_S", 0.0)
    clock, journal = Clock(), Journal(tmp_path / "journal.db")
    commit_log = CommitLog(journal, clock)
    yield Archiver(commit_log, journal, clock, retain_months=12)
    await commit_log.aclose()


def settled_rows(archiver: Archiver) -> int:
    return int(archiver.journal._db.execute("SELECT count(*) FROM settled").fetchone()[0])


async def test_sealed_events_leave_the_journal_after_a_while(archiver: Archiver) -> None:
    await asyncio.gather(*(spend(archiver.commit_log, f"e{number}", 1) for number in range(50)))
    await archiver.archive()
    assert settled_rows(archiver) == 50
    archiver.clock.now_s += KEPT_S + 1  # type: ignore[attr-defined]
    await archiver.archive()
    assert settled_rows(archiver) == 50
    await archiver.commit_log.seal()
    await asyncio.gather(archiver.archive(), *(spend(archiver.commit_log, f"f{number}", 1) for number in range(50)))
    assert settled_rows(archiver) == 50
    assert [one.cost_nanousd for one in sum_events(archiver.journal.path, [])] == [100]
    assert (await archiver.commit_log.totals("acme")).requests == 100


async def test_old_months_are_compressed_and_then_deleted(archiver: Archiver) -> None:
    for month in range(5):
        archiver.clock.now_s = 120.0 + month * 31 * DAY_S  # type: ignore[attr-defined]
        await spend(archiver.commit_log, f"e{month}", 1)
        await archiver.commit_log.seal()
    await archiver.archive()
    assert [path.suffix for path in month_paths(archiver.journal.path).values()] == [".gz", ".gz", ".db", ".db"]
    archiver.clock.now_s += 365 * DAY_S  # type: ignore[attr-defined]
    await spend(archiver.commit_log, "newest", 1)
    await archiver.archive()
    assert list(month_paths(archiver.journal.path)) == [197005]


async def test_a_failed_round_is_counted_and_the_journal_keeps_its_events(archiver: Archiver) -> None:
    await spend(archiver.commit_log, "e1", 1)
    await spend(archiver.commit_log, "e2", 1)
    await archiver.commit_log.seal()
    archiver.clock.now_s += KEPT_S + 1  # type: ignore[attr-defined]
    (archiver.journal.path.parent / "journal-1970-01.db").mkdir()
    await archiver.try_once()
    assert archiver.failures == 1 and settled_rows(archiver) == 2
