"""An attempt without a call record is free only where no record can be missing, before and after a restart."""

from __future__ import annotations

import pytest

from cluster.costs.call_records import WATCH_S
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from routing.models import Outcome
from tests.support.cost_entries import call_record, intent, settlement
from tests.support.manual_clock import ManualClock
from tests.unit.cluster.costs.witnessed_attempts import GRACE_S, LIFETIME_S, expire, open_attempt, run_until


async def test_an_attempt_without_a_call_record_never_left_and_is_free(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd, totals.estimated_requests, totals.requests) == (0, 0, 1)
    assert commit_log.counters.never_left == 1


@pytest.mark.parametrize("loss", ["no replica", "record lost", "not witnessed", "stall"])
async def test_where_a_record_may_be_missing_the_estimate_stays(
    commit_log: CommitLog, clock: ManualClock, loss: str
) -> None:
    if loss != "no replica":
        commit_log.replica_connected("replica")
    await commit_log.write([intent(lifetime_s=LIFETIME_S, witnessed=loss != "not witnessed")])
    clock.now_s += 1
    if loss == "record lost":
        commit_log.lose_call_records()
    if loss == "stall":
        clock.now_s += 10
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd, totals.estimated_requests) == (1_000, 1)


async def test_a_stall_frees_an_attempt_that_never_left_once_the_replicas_have_replied(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    clock.now_s += 10
    assert (await expire(commit_log, clock)).estimated_requests == 1
    commit_log.replica_replied("replica", commit_log.ping)
    await run_until(commit_log, clock, clock.now_s + WATCH_S + 1)
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests, totals.requests) == (0, 0, 1)


async def test_a_record_that_is_dropped_over_the_bound_frees_no_attempt(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    commit_log.call_records._max_records = 1
    clock.now_s += 1.0
    commit_log.add_call_records([call_record(ended=False), call_record("another")])
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd, totals.estimated_requests) == (1_000, 1)


async def test_an_estimated_attempt_that_never_left_becomes_free(commit_log: CommitLog, clock: ManualClock) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    await commit_log.write([settlement(cost_nanousd=900, estimated=True, outcome=Outcome.ERROR)])
    await commit_log.seal()
    await run_until(commit_log, clock, clock.now_s + WATCH_S + 1)
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests, totals.requests) == (0, 0, 1)


async def test_a_call_that_seemed_never_to_have_left_is_billed_when_its_stopped_replica_reports_it(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    await commit_log.write([settlement(cost_nanousd=900, estimated=True, outcome=Outcome.ERROR)])
    await run_until(commit_log, clock, clock.now_s + 2 * WATCH_S + 1)
    assert (await commit_log.totals("acme")).settled_nanousd == 0
    commit_log.add_call_records([call_record(cost_nanousd=250, estimated=False)])
    await commit_log.expire()
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests, totals.requests) == (250, 0, 1)
    assert commit_log.counters.ignored_settlements == 0


@pytest.mark.parametrize(
    ("returned", "billed"),
    [("all", (0, 0)), ("one", (1_000, 1)), ("others", (1_000, 1)), ("all, one kept less", (1_000, 1))],
)
async def test_an_attempt_that_never_left_is_free_after_a_restart_too_if_every_replica_has_returned(
    commit_log: CommitLog, journal: Journal, clock: ManualClock, returned: str, billed: tuple[int, int]
) -> None:
    for replica_id in ("a", "b"):
        commit_log.replica_connected(replica_id)
    await open_attempt(commit_log)
    await commit_log.run_on_journal_thread(lambda: None)
    clock.now_s += 1.0
    restarted = CommitLog(journal, clock, outbox_grace_s=GRACE_S)
    for replica_id in {"one": "a", "others": "cd"}.get(returned, "ab"):
        restarted.replica_connected(replica_id)
        restarted.replica_complete(replica_id, 0.5 if (returned, replica_id) == ("all, one kept less", "b") else 600.0)
    totals = await expire(restarted, clock)
    assert (totals.settled_nanousd, totals.estimated_requests) == billed


async def test_a_coverage_that_the_disk_refused_is_written_later(
    commit_log: CommitLog, journal: Journal, clock: ManualClock
) -> None:
    await commit_log.run_on_journal_thread(lambda: journal._db.execute("PRAGMA query_only = 1"))
    commit_log.replica_connected("replica")
    await commit_log.run_on_journal_thread(lambda: journal._db.execute("PRAGMA query_only = 0"))
    await commit_log.expire()
    saved = await commit_log.run_on_journal_thread(journal.coverage.load)
    assert saved is not None and saved.replicas == {"replica"}


async def test_an_attempt_that_never_left_is_free_before_a_fault_twenty_seconds_later_could_hide_it(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    commit_log.replica_connected("replica")
    await open_attempt(commit_log)
    await commit_log.write([settlement(cost_nanousd=900, estimated=True, outcome=Outcome.ERROR)])
    await run_until(commit_log, clock, clock.now_s + 20.0)
    commit_log.lose_call_records()
    assert (await commit_log.totals("acme")).settled_nanousd == 0
