"""The backend receives exactly the journal's totals, including after failures."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.costs.commit_log import CommitLog
from cluster.costs.flusher import ROWS_A_CALL, Flusher
from cluster.costs.journal import Journal
from routing.errors import BackendUnavailable
from tests.support.cost_entries import BackendInMemory, intent, spend


@pytest.fixture
def backend() -> BackendInMemory:
    return BackendInMemory()


@pytest.fixture
async def flusher(tmp_path: Path, backend: BackendInMemory) -> AsyncIterator[Flusher]:
    journal = Journal(tmp_path / "journal.db")
    commit_log = CommitLog(journal, lambda: 120.0)
    yield Flusher(
        commit_log=commit_log,
        journal=journal,
        backend=backend,
        every_s=10,
        longest_backoff_s=60,
        call_timeout_s=5,
        clock=lambda: 120.0,
        rng=random.Random(1),
    )
    await commit_log.aclose()


async def test_each_window_has_one_row_per_tenant_service_and_model(flusher: Flusher, backend: BackendInMemory) -> None:
    await spend(flusher.commit_log, "e1", 300)
    await spend(flusher.commit_log, "e2", 400)
    await spend(flusher.commit_log, "e3", 50, tenant_id="globex")
    await flusher.flush()
    row = next(row for row in backend.rows.values() if row.tenant_id == "acme")
    assert (row.requests, row.cost_nanousd, row.seq) == (2, 700, 1)
    assert row.usage == {"input_tokens": 20, "output_tokens": 4}
    assert backend.billed_nanousd("globex") == 50


async def test_a_flush_resent_after_a_lost_reply_is_billed_once(flusher: Flusher, backend: BackendInMemory) -> None:
    backend.lose_next_reply = True
    await spend(flusher.commit_log, "e1", 700)
    assert await flusher.try_once() is not None
    assert await flusher.try_once() is None
    assert (backend.billed_nanousd(), backend.calls) == (700, 2)
    assert (await flusher.commit_log.totals("acme")).sent_nanousd == 700


async def test_cumulative_totals_grow_from_window_to_window(flusher: Flusher, backend: BackendInMemory) -> None:
    for number, cost in enumerate((100, 20, 3)):
        await spend(flusher.commit_log, f"e{number}", cost)
        await flusher.flush()
    rows = sorted(backend.rows.values(), key=lambda row: row.seq)
    assert [row.cumulative_nanousd for row in rows] == [100, 120, 123]
    assert len({row.flush_id for row in rows}) == 3


async def test_a_backend_that_was_down_receives_every_window_later(flusher: Flusher, backend: BackendInMemory) -> None:
    backend.faults = [BackendUnavailable(retry_after_s=9.0)]
    await spend(flusher.commit_log, "e1", 700)
    error = await flusher.try_once()
    assert error is not None and flusher._backoff_s(error) >= 9.0
    await spend(flusher.commit_log, "e2", 30)
    assert await flusher.try_once() is None
    assert backend.billed_nanousd() == 730


async def test_a_permanently_rejected_row_does_not_block_the_others(flusher: Flusher, backend: BackendInMemory) -> None:
    backend.refuse = {"bad-model": "400 unknown model"}
    await spend(flusher.commit_log, "e1", 5, model="bad-model")
    await spend(flusher.commit_log, "e2", 700)
    assert await flusher.try_once() is None
    assert backend.billed_nanousd() == 700
    assert (await flusher.commit_log.totals("acme")).settled_nanousd == 705
    assert await flusher.commit_log.run_on_journal_thread(lambda: flusher.journal.unsent(10)) == ()


async def test_windows_beyond_the_limit_of_a_call_are_sent_in_several_calls(
    flusher: Flusher, backend: BackendInMemory
) -> None:
    for number in range(ROWS_A_CALL + 1):
        await spend(flusher.commit_log, f"e{number}", 1, tenant_id=f"t{number}")
    await flusher.flush()
    assert (len(backend.rows), backend.calls) == (ROWS_A_CALL + 1, 2)


async def test_an_open_intent_is_not_flushed(flusher: Flusher, backend: BackendInMemory) -> None:
    await flusher.commit_log.write([intent()])
    await flusher.flush()
    assert backend.rows == {}
