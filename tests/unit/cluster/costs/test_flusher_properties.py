"""Whatever sequence of faults a backend has, each window is stored once or parked, and the sums are equal."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.costs.sending import read_set_aside, resend_parked
from routing.models import FlushRow
from tests.support.backend_in_memory import BackendInMemory, CallFault, RowFault
from tests.support.flush_bench import PARK_AFTER_S, flush_bench

# A journal on a disk would spend the test's time on syncs.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

call_faults = st.lists(st.sampled_from(get_args(CallFault)), max_size=12)
row_faults = st.lists(st.sampled_from(get_args(RowFault)), max_size=40)
windows = st.lists(
    st.tuples(st.sampled_from(["t1", "t2", "t3", "t4", "t5"]), st.integers(0, 10**12)), min_size=1, max_size=30
)
pauses_s = st.lists(st.sampled_from([1.0, 30.0, 600.0, PARK_AFTER_S]), min_size=1, max_size=12)


@given(windows, call_faults, row_faults, st.integers(1, 30), st.sets(st.integers(0, 29), max_size=3), pauses_s)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_window_is_stored_once_or_parked(
    spent: list[tuple[str, int]],
    calls: list[CallFault],
    rows: list[RowFault],
    most_rows: int,
    never: set[int],
    pauses: list[float],
) -> None:
    asyncio.run(send_all(spent, calls, rows, most_rows, never, pauses))


async def send_all(
    spent: list[tuple[str, int]],
    calls: list[CallFault],
    rows: list[RowFault],
    most_rows: int,
    never: set[int],
    pauses: list[float],
) -> None:
    left = list(rows)
    refused = {f"m{number}" for number in never & set(range(len(spent)))}

    def row_fault(row: FlushRow) -> RowFault:
        if row.model in refused:
            return "refuses"
        return left.pop() if left else "none"

    backend = BackendInMemory(call_faults=list(calls), row_fault=row_fault, most_rows=most_rows)
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory) / "journal.db"
        async with flush_bench(path, backend) as bench:
            await bench.spend_all((cost, tenant_id, f"m{n}") for n, (tenant_id, cost) in enumerate(spent))
            for pause_s in pauses:
                await bench.rounds(1, every_s=pause_s)
            backend.call_faults, left = [], []
            # A window that was refused for a while may be parked; a command sends it again.
            resend_parked(path)
            await bench.rounds(20, every_s=PARK_AFTER_S)
            parked = {window.model for window in read_set_aside(path)}
            counts = await bench.counts()
    stored = {row.model: row.cost_nanousd for row in backend.rows.values()}
    assert len(stored) == len(backend.rows)
    assert parked == refused and stored.keys().isdisjoint(parked) and counts.unsent_windows == 0
    assert stored == {f"m{n}": cost for n, (_, cost) in enumerate(spent) if f"m{n}" not in refused}
    assert bench.flusher.counters.first_send_duplicates == 0
