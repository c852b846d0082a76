"""The backend receives exactly the journal's totals, including after failures."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.costs.flusher import ROWS_A_CALL
from cluster.costs.row_answers import LONGEST_WAIT_S
from cluster.costs.sending import forget_duplicates, read_set_aside, resend_parked
from routing.errors import BackendUnavailable
from routing.models import FlushRow
from tests.support.backend_in_memory import BackendInMemory
from tests.support.cost_entries import intent, spend
from tests.support.flush_bench import PARK_AFTER_S, FlushBench, flush_bench

TENANTS = [f"t{number:02}" for number in range(21)]


def one_window_each(tenants: int) -> list[tuple[int, str, str]]:
    return [(1, f"t{number:02}", "m") for number in range(tenants)]


@pytest.fixture
def backend() -> BackendInMemory:
    return BackendInMemory()


@pytest.fixture
async def bench(tmp_path: Path, backend: BackendInMemory) -> AsyncIterator[FlushBench]:
    async with flush_bench(tmp_path / "journal.db", backend) as bench:
        yield bench


async def test_each_window_has_one_row_per_tenant_service_and_model(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    await spend(bench.commit_log, "e1", 300)
    await spend(bench.commit_log, "e2", 400)
    await spend(bench.commit_log, "e3", 50, tenant_id="globex")
    await bench.commit_log.seal()
    await bench.flusher.flush()
    row = next(row for row in backend.rows.values() if row.tenant_id == "acme")
    assert (row.requests, row.cost_nanousd, row.seq) == (2, 700, 1)
    assert row.usage == {"input_tokens": 20, "output_tokens": 4}
    assert backend.billed_nanousd("globex") == 50


async def test_an_open_intent_is_not_flushed(bench: FlushBench, backend: BackendInMemory) -> None:
    await bench.commit_log.write([intent()])
    await bench.commit_log.seal()
    await bench.flusher.flush()
    assert backend.rows == {}


async def test_a_window_resent_after_a_lost_reply_is_billed_once_without_an_alarm(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    backend.call_faults = ["loses the reply"]
    await bench.spend(700)
    assert await bench.flusher.try_once() is not None
    bench.clock.now_s += 60
    assert await bench.flusher.try_once() is None
    assert (backend.billed_nanousd(), len(backend.calls), await bench.sent_nanousd()) == (700, 2, 700)
    assert bench.flusher.counters.first_send_duplicates == 0


async def test_cumulative_totals_grow_from_window_to_window(bench: FlushBench, backend: BackendInMemory) -> None:
    for cost in (100, 20, 3):
        await bench.spend(cost)
        await bench.flusher.flush()
    rows = sorted(backend.rows.values(), key=lambda row: row.seq)
    assert [row.cumulative_nanousd for row in rows] == [100, 120, 123]
    assert len({row.flush_id for row in rows}) == 3


async def test_a_backend_that_was_down_receives_every_window_later(bench: FlushBench, backend: BackendInMemory) -> None:
    backend.call_faults = [BackendUnavailable(retry_after_s=9.0)]
    await bench.spend(700)
    error = await bench.flusher.try_once()
    assert error is not None and bench.flusher._backoff_s(error) >= 9.0
    await bench.spend(30)
    await bench.rounds(2)
    assert backend.billed_nanousd() == 730


async def test_windows_beyond_the_limit_of_a_call_are_sent_in_several_calls(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    await bench.spend_all(one_window_each(ROWS_A_CALL + 1))
    await bench.flusher.flush()
    assert [len(call) for call in backend.calls] == [ROWS_A_CALL, 1]


@pytest.mark.parametrize("fault", ["fails before", "forbids", "refuses"])
async def test_the_failing_windows_of_one_tenant_hold_back_no_other(
    fault: str, bench: FlushBench, backend: BackendInMemory
) -> None:
    backend.row_fault = lambda row: fault if row.tenant_id == TENANTS[0] else "none"  # type: ignore[assignment,return-value]
    await bench.spend_all((1, TENANTS[0], f"m{number}") for number in range(60))
    await bench.spend_all((7, tenant_id, f"m{number}") for tenant_id in TENANTS[1:] for number in range(5))
    await bench.flusher.try_once()
    assert all(backend.billed_nanousd(tenant_id) == 35 for tenant_id in TENANTS[1:])
    assert await bench.sent_nanousd(TENANTS[0]) == 0
    assert (await bench.counts()).unsent_windows == 60


async def test_failing_windows_are_sent_less_and_less_often(bench: FlushBench, backend: BackendInMemory) -> None:
    backend.row_fault = lambda row: "fails before"
    await bench.spend(1)
    await bench.rounds(120, every_s=10)
    first, second = len(backend.calls), len(backend.calls)
    await bench.rounds(120, every_s=10)
    second = len(backend.calls) - first
    assert second <= 5 < first < 20


async def test_a_backend_that_stores_no_tenants_window_ends_the_round(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    backend.row_fault = lambda row: "fails before"
    await bench.spend_all((1, tenant_id, f"m{number}") for tenant_id in TENANTS for number in range(5))
    assert await bench.flusher.try_once() is not None
    assert len(backend.calls) == 1
    backend.row_fault = lambda row: "none"
    await bench.rounds(2)
    assert sum(backend.billed_nanousd(tenant_id) for tenant_id in TENANTS) == 105


async def test_a_slow_backend_keeps_what_it_acknowledged_and_gets_smaller_calls(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    backend.row_s = 0.4
    await bench.spend_all(one_window_each(60))
    await bench.rounds(1)
    assert await bench.flusher.try_once() is not None and (await bench.counts()).unsent_windows == 36
    await bench.rounds(5)
    assert (await bench.counts()).unsent_windows == 0 and len(backend.rows) == 60
    assert [len(call) for call in backend.calls[:4]] == [25, 12, 12, 15]


async def test_a_call_that_is_too_large_is_halved_down_to_the_row(bench: FlushBench, backend: BackendInMemory) -> None:
    backend.most_rows = 3
    await bench.spend_all(one_window_each(60))
    assert await bench.flusher.try_once() is None
    assert len(backend.rows) == 60 and (await bench.counts()).unsent_windows == 0


async def test_a_window_that_breaks_its_calls_is_sent_alone_and_the_others_pass_it(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    await bench.spend_all(one_window_each(30))

    def hang_up(rows: Sequence[FlushRow]) -> None:
        if any(row.tenant_id == "t03" for row in rows):
            raise BackendUnavailable("hung up")

    backend.on_call = hang_up
    await bench.rounds(8)
    assert len(backend.rows) == 29 and (await bench.counts()).unsent_windows == 1
    isolated = len(backend.calls)
    bench.clock.now_s += LONGEST_WAIT_S
    page, _ = await bench.commit_log.run_on_journal_thread(lambda: bench.journal.sending.due(bench.clock()))
    assert [due.alone for due in page] == [True]
    await bench.spend_all((2, tenant_id, "other") for _, tenant_id, _ in one_window_each(30) if tenant_id != "t03")
    await bench.rounds(8)
    assert len(backend.rows) == 58
    assert {len(call) for call in backend.calls[isolated:] if any(row.tenant_id == "t03" for row in call)} == {1}
    backend.on_call = lambda rows: None
    await bench.rounds(20)
    assert len(backend.rows) == 59


async def test_a_refused_window_is_parked_listed_and_sent_again_by_command(
    tmp_path: Path, bench: FlushBench, backend: BackendInMemory
) -> None:
    path = tmp_path / "journal.db"
    backend.row_fault = lambda row: "refuses" if row.model == "bad" else "none"
    await bench.spend(5, model="bad")
    await bench.spend(700)
    await bench.rounds(30)
    assert (await bench.counts()).parked_windows == 0
    bench.clock.now_s += PARK_AFTER_S
    with capture_logs() as logs:
        await bench.rounds(1)
    assert [line["event"] for line in logs] == ["window parked"] and bench.flusher.counters.parked == 1
    (listed,) = read_set_aside(path)
    assert (listed.state, listed.tenant_id, listed.cost_nanousd, listed.reason) == ("parked", "acme", 5, "BAD_REQUEST")
    calls = len(backend.calls)
    await bench.rounds(5)
    assert len(backend.calls) == calls and (await bench.commit_log.totals("acme")).settled_nanousd == 705

    backend.row_fault = lambda row: "none"
    assert resend_parked(path, "globex") == 0
    assert resend_parked(path, "acme") == 1
    await bench.rounds(1)
    assert backend.billed_nanousd() == await bench.sent_nanousd() == 705
    assert read_set_aside(path) == [] and backend.calls[-1][0].flush_id == listed.flush_id


async def test_a_duplicate_on_a_first_send_is_an_alarm_until_it_is_taken_off_the_list(
    tmp_path: Path, bench: FlushBench, backend: BackendInMemory
) -> None:
    await bench.spend(700)
    (due,), _ = await bench.commit_log.run_on_journal_thread(lambda: bench.journal.sending.due(bench.clock()))
    backend.rows[due.row.flush_id] = due.row
    with capture_logs() as logs:
        assert await bench.flusher.try_once() is None
    assert [line["event"] for line in logs] == ["window is a duplicate on its first send"]
    assert bench.flusher.counters.first_send_duplicates == 1 and (await bench.counts()).unexpected_duplicates == 1
    (listed,) = read_set_aside(tmp_path / "journal.db")
    assert (listed.state, listed.flush_id, listed.cost_nanousd) == ("duplicate", due.row.flush_id, 700)
    assert forget_duplicates(tmp_path / "journal.db") == 1 and read_set_aside(tmp_path / "journal.db") == []


async def test_a_restored_journal_bills_what_is_spent_after_the_backup(
    tmp_path: Path, backend: BackendInMemory
) -> None:
    path, backup = tmp_path / "journal.db", tmp_path / "backup.db"
    async with flush_bench(path, backend) as before:
        await before.spend(100)
        await before.flusher.flush()
        await before.spend(20)
    shutil.copy(path, backup)
    async with flush_bench(path, backend) as lost:
        await lost.flusher.flush()
        await lost.spend(3)
        await lost.flusher.flush()
    async with flush_bench(backup, backend) as restored:
        await restored.spend(5_000)
        await restored.rounds(3)
        assert restored.flusher.counters.first_send_duplicates == 0
        assert await restored.sent_nanousd() == 5_120
    assert backend.billed_nanousd() == 5_123


async def test_draining_sends_the_windows_that_wait_and_reports_those_that_fail(
    bench: FlushBench, backend: BackendInMemory
) -> None:
    backend.row_fault = lambda row: "fails before"
    await bench.spend(700)
    await bench.flusher.flush()
    with pytest.raises(BackendUnavailable, match="1 of the windows"):
        await bench.flusher.drain()
    backend.row_fault = lambda row: "none"
    await bench.flusher.drain()
    assert backend.billed_nanousd() == 700
