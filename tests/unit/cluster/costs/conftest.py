"""A commit log whose clock the test moves, past its first grace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from tests.support.manual_clock import ManualClock
from tests.unit.cluster.costs.witnessed_attempts import GRACE_S, run_until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


@pytest.fixture
async def commit_log(journal: Journal, clock: ManualClock) -> AsyncIterator[CommitLog]:
    commit_log = CommitLog(journal, clock, outbox_grace_s=GRACE_S)
    await run_until(commit_log, clock, 100.0 + GRACE_S)
    yield commit_log
    await commit_log.aclose()
