"""Any order, duplication and split of the same entries gives the same totals, in the journal and at the backend."""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Correction
from routing.billing.budgets import QUARTER_S
from routing.models import CallRecord, Intent, Outcome, Settlement
from tests.support.backend_in_memory import BackendInMemory, CallFault
from tests.support.cost_entries import call_record, intent, settlement, spent_by_tenant, unsent
from tests.support.flush_bench import Clock, flush_bench
from tests.support.manual_clock import ManualClock

# A journal on a disk would spend the test's time on syncs.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
DECEMBER_S = dt.datetime(2026, 12, 1, tzinfo=dt.UTC).timestamp()
ESTIMATE_NANOUSD = 10_000
LIFETIME_S = 3_500.0
Report = Intent | Settlement | CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt's reports, and the cost to bill; None while it is open."""

    reports: tuple[Report, ...]
    cost_nanousd: int | None
    estimated: bool = False


def attempt(number: int, router: str, replica: str, cost_nanousd: int) -> Attempt:
    """Return an attempt that the router and the model replica report so; the final report is both's."""
    event_id = f"e{number}"
    reports: list[Report] = [
        intent(event_id, estimate_nanousd=ESTIMATE_NANOUSD, tenant_id=f"t{number % 3}", lifetime_s=LIFETIME_S)
    ]
    if replica != "none":
        reports.append(call_record(event_id, cost_nanousd=77, ended=False, estimated=True))
    if replica in ("partial", "final"):
        known = cost_nanousd if replica == "final" else cost_nanousd // 2
        reports.append(call_record(event_id, cost_nanousd=known, estimated=replica == "partial"))
    if router == "open":
        return Attempt(reports=tuple(reports), cost_nanousd=None)
    if router == "withdrawn":
        reports.append(settlement(event_id, cost_nanousd=0, outcome=Outcome.CANCELLED))
        return Attempt(reports=tuple(reports), cost_nanousd=0)
    guessed = router == "estimate"
    reports.append(settlement(event_id, cost_nanousd=9_000 if guessed else cost_nanousd, estimated=guessed))
    if not guessed or replica == "final":
        return Attempt(reports=tuple(reports), cost_nanousd=cost_nanousd)
    billed = cost_nanousd // 2 if replica == "partial" else 9_000
    return Attempt(reports=tuple(reports), cost_nanousd=billed, estimated=True)


KINDS = st.tuples(
    st.sampled_from(["open", "estimate", "final"]),
    st.sampled_from(["none", "sent", "partial", "final"]),
    st.integers(0, 5_000),
)
WITHDRAWN = st.tuples(st.just("withdrawn"), st.just("none"), st.just(0))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Attempt], list[list[Report]]]:
    """Return attempts, and their reports repeated, shuffled and split into batches."""
    kinds = draw(st.lists(KINDS | WITHDRAWN, min_size=1, max_size=6))
    attempts = [attempt(number, *kind) for number, kind in enumerate(kinds)]
    reports = [report for one in attempts for report in one.reports]
    repeated = reports + draw(st.lists(st.sampled_from(reports), max_size=6))
    shuffled = draw(st.permutations(repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    return attempts, [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


async def deliver(
    commit_log: CommitLog,
    batches: Sequence[list[Report]],
    seal: bool,
    clock: Clock | ManualClock,
    pauses_s: Iterable[float],
) -> None:
    for batch, pause_s in zip(batches, pauses_s, strict=False):
        clock.now_s += pause_s
        commit_log.add_call_records(report for report in batch if isinstance(report, CallRecord))
        await commit_log.write([report for report in batch if not isinstance(report, CallRecord)])
        await commit_log.expire()
        if seal:
            await commit_log.seal()


def expected_figures(attempts: Sequence[Attempt]) -> tuple[int, int, int, int]:
    """Return the figures of the best reports."""
    settled = [one for one in attempts if one.cost_nanousd is not None]
    return (
        sum(one.cost_nanousd or 0 for one in settled),
        ESTIMATE_NANOUSD * (len(attempts) - len(settled)),
        len(settled),
        sum(one.estimated for one in settled),
    )


async def figures(commit_log: CommitLog) -> tuple[int, int, int, int]:
    """Return the settled and the reserved nano-dollars, and the requests and the estimated ones, of all tenants."""
    totals = [await commit_log.totals(f"t{number}") for number in range(3)]
    return (
        sum(one.settled_nanousd for one in totals),
        sum(one.reserved_nanousd for one in totals),
        sum(one.requests for one in totals),
        sum(one.estimated_requests for one in totals),
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(delivery=deliveries(), seal=st.booleans())
def test_the_totals_are_those_of_the_best_reports(
    delivery: tuple[list[Attempt], list[list[Report]]], seal: bool
) -> None:
    attempts, batches = delivery
    expected = expected_figures(attempts)

    async def check() -> None:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            journal, clock = Journal(Path(folder) / "journal.db"), ManualClock(120.0)
            commit_log = CommitLog(journal, clock)
            await deliver(commit_log, batches, seal, clock, repeat(0.0))
            assert await figures(commit_log) == expected
            spent = spent_by_tenant(commit_log, ["t0", "t1", "t2"])
            await commit_log.seal()
            rows = await commit_log.run_on_journal_thread(lambda: unsent(journal))
            assert sum(row.cost_nanousd for row in rows) == expected[0]
            assert sum(row.requests for row in rows) == expected[2]
            await commit_log.aclose()
            restarted = CommitLog(Journal(Path(folder) / "journal.db"), ManualClock(120.0))
            assert spent_by_tenant(restarted, ["t0", "t1", "t2"]) == spent and sum(spent.values()) == expected[0]
            await restarted.aclose()

    asyncio.run(check())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    delivery=deliveries(),
    pauses_s=st.lists(st.sampled_from([0.0, 240.0, 600.0]), min_size=5, max_size=5),
    refunded=st.lists(st.integers(0, 5), max_size=3, unique=True),
    call_faults=st.lists(st.sampled_from(get_args(CallFault)), max_size=4),
)
def test_each_cost_and_each_correction_reaches_the_backend_once_over_the_months_end(
    delivery: tuple[list[Attempt], list[list[Report]]],
    pauses_s: list[float],
    refunded: list[int],
    call_faults: list[CallFault],
) -> None:
    attempts, batches = delivery
    billed, reserved, requests, estimated = expected_figures(attempts)
    refunds = [number for number in refunded if number < len(attempts) and attempts[number].cost_nanousd is not None]

    async def check() -> None:
        backend, clock = BackendInMemory(call_faults=list(call_faults)), Clock(DECEMBER_S - 600)
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            async with flush_bench(Path(folder) / "journal.db", backend, clock) as bench:
                await deliver(bench.commit_log, batches, True, clock, pauses_s)
                for number in [*refunded, *refunded]:
                    refund = Correction(correction_id=f"r{number}", event_id=f"e{number}", cost_nanousd=-3)
                    await bench.commit_log.correct(refund)
                await bench.rounds(1)
                await deliver(bench.commit_log, batches, True, clock, repeat(0.0))
                assert await figures(bench.commit_log) == (billed - 3 * len(refunds), reserved, requests, estimated)
                await bench.rounds(12, every_s=600.0)
                sent = [await bench.sent_nanousd(f"t{number}") for number in range(3)]
        rows = backend.rows.values()
        assert sum(row.cost_nanousd for row in rows) == sum(sent) == billed - 3 * len(refunds)
        assert (sum(row.requests for row in rows), bench.flusher.counters.first_send_duplicates) == (requests, 0)
        assert all(row.window_start_s // QUARTER_S == row.window_end_s // QUARTER_S for row in rows)

    asyncio.run(check())
