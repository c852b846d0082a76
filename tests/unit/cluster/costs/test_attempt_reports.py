"""The router and the model replica both report an attempt: the bill takes the better report, whenever it comes."""

from __future__ import annotations

import pytest

from cluster.costs.call_records import WATCH_S
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Correction
from routing.models import Outcome, Usage
from tests.support.cost_entries import call_record, intent, month_spending, settlement, spent_by_tenant
from tests.support.manual_clock import ManualClock
from tests.unit.cluster.costs.witnessed_attempts import GRACE_S, expire, open_attempt, run_until


async def test_an_expired_intent_with_an_ended_call_is_settled_at_the_replicas_figures(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    commit_log.add_call_records([call_record(ended=False, cost_nanousd=400), call_record(cost_nanousd=600)])
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd, totals.estimated_requests, totals.reserved_nanousd) == (600, 0, 0)


async def test_an_expired_intent_whose_call_never_ended_is_settled_at_the_expected_answer(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    commit_log.add_call_records([call_record(ended=False, cost_nanousd=400, estimated=True)])
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd, totals.estimated_requests) == (400, 1)


async def test_an_attempt_without_any_report_costs_the_share_of_its_estimate_that_exact_answers_of_its_model_cost(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    for event_id, cost_nanousd, changes in (
        ("exact", 200, {}),
        ("exact too", 300, {}),
        ("another model", 1_000, {"model": "another"}),
        ("estimated", 900, {}),
        ("refused", 0, {}),
    ):
        await commit_log.write([intent(event_id, **changes)])
        outcome = Outcome.ERROR if event_id == "refused" else Outcome.OK
        estimated = event_id == "estimated"
        await commit_log.write([settlement(event_id, cost_nanousd, outcome=outcome, estimated=estimated)])
    before = (await commit_log.totals("acme")).settled_nanousd
    await open_attempt(commit_log, estimate_nanousd=2_000)
    totals = await expire(commit_log, clock)
    assert (totals.settled_nanousd - before, totals.estimated_requests) == (2_000 * 500 // 2_000, 2)


async def test_a_routers_estimate_gives_way_to_the_replicas_report(commit_log: CommitLog, clock: ManualClock) -> None:
    await open_attempt(commit_log)
    cancelled = settlement(cost_nanousd=900, estimated=True, outcome=Outcome.CANCELLED)
    await commit_log.write([cancelled])
    commit_log.add_call_records([call_record(cost_nanousd=250, estimated=True)])
    await commit_log.expire()
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests) == (250, 1)


async def test_a_routers_estimate_after_the_replicas_report_is_not_taken(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    commit_log.add_call_records([call_record(cost_nanousd=250, estimated=True)])
    assert month_spending(await commit_log.write([settlement(cost_nanousd=900, estimated=True)])) == [250]
    await run_until(commit_log, clock, clock.now_s + WATCH_S + 1)
    assert (await commit_log.totals("acme")).settled_nanousd == 250


async def test_a_restarted_aggregator_still_takes_the_report_of_an_estimated_call(
    commit_log: CommitLog, journal: Journal, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    await commit_log.write([settlement(cost_nanousd=900, estimated=True, outcome=Outcome.CANCELLED)])
    await commit_log.seal()
    restarted = CommitLog(journal, clock)
    restarted.add_call_records([call_record(cost_nanousd=250, estimated=False)])
    await restarted.expire()
    assert (await restarted.totals("acme")).settled_nanousd == 250


async def test_a_settlement_after_its_estimate_was_sealed_becomes_a_signed_correction(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    await expire(commit_log, clock)
    assert await commit_log.seal() == 1
    await commit_log.write([settlement(cost_nanousd=100), settlement(cost_nanousd=100)])
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.requests, totals.estimated_requests) == (100, 1, 0)
    assert commit_log.counters.corrections == 1
    assert await commit_log.seal() == 1


async def test_a_late_settlement_before_sealing_replaces_the_estimate(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    await expire(commit_log, clock)
    assert month_spending(await commit_log.write([settlement(cost_nanousd=100)])) == [100]
    assert (await commit_log.totals("acme")).settled_nanousd == 100
    assert commit_log.counters.corrections == 0


async def test_nothing_expires_after_a_stall_until_the_outboxes_have_delivered(
    commit_log: CommitLog, clock: ManualClock
) -> None:
    await open_attempt(commit_log)
    clock.now_s += 95.0
    await commit_log.expire()
    assert await commit_log.open_intents() == 1
    assert month_spending(await commit_log.write([settlement(cost_nanousd=100)])) == [100]
    await run_until(commit_log, clock, clock.now_s + GRACE_S + 1)
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.estimated_requests) == (100, 0)


async def test_a_reservation_that_was_withdrawn_before_it_arrived_stays_free(commit_log: CommitLog) -> None:
    withdrawn = settlement(cost_nanousd=0, outcome=Outcome.CANCELLED)
    await commit_log.write([withdrawn])
    await open_attempt(commit_log)
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (0, 0)


async def test_a_refund_is_booked_once(commit_log: CommitLog) -> None:
    await open_attempt(commit_log)
    await commit_log.write([settlement(cost_nanousd=700)])
    refund = Correction(correction_id="refund-1", event_id="e1", cost_nanousd=-200)
    assert [await commit_log.correct(refund) for _ in range(2)] == [True, False]
    assert not await commit_log.correct(Correction(correction_id="refund-2", event_id="unknown", cost_nanousd=-1))
    totals = await commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.requests) == (500, 1)
    assert spent_by_tenant(commit_log, ["acme"]) == {"acme": 500}


@pytest.mark.parametrize("lifetime_s", [float("nan"), float("inf"), 1e12])
async def test_an_absurd_lifetime_does_not_keep_an_intent_open(
    commit_log: CommitLog, clock: ManualClock, lifetime_s: float
) -> None:
    await commit_log.write([intent(lifetime_s=lifetime_s)])
    clock.now_s += 3_700.0
    await run_until(commit_log, clock, clock.now_s + GRACE_S + 1)
    assert await commit_log.open_intents() == 0


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("estimated", [False, True])
async def test_a_cost_that_is_reported_again_with_other_amounts_stays_at_the_first_and_is_counted(
    commit_log: CommitLog, sealed: bool, estimated: bool
) -> None:
    await commit_log.write([intent(), settlement(cost_nanousd=700, estimated=estimated)])
    if sealed:
        await commit_log.seal()
    await commit_log.write([intent(), settlement(cost_nanousd=700, estimated=estimated)])
    assert commit_log.counters.contradictions == 0
    await commit_log.write([intent(), settlement(cost_nanousd=900, estimated=estimated)])
    other_usage = settlement(cost_nanousd=700, estimated=estimated, usage=Usage(input_tokens=11, output_tokens=2))
    await commit_log.write([other_usage])
    assert (await commit_log.totals("acme")).settled_nanousd == 700
    assert (commit_log.counters.contradictions, commit_log.counters.ignored_settlements) == (2, 3)


async def test_a_worse_report_and_an_early_settlement_are_no_contradictions(commit_log: CommitLog) -> None:
    await commit_log.write([settlement("early", 5), intent(), settlement(cost_nanousd=700)])
    await commit_log.write([settlement(cost_nanousd=900, estimated=True)])
    assert (commit_log.counters.contradictions, commit_log.counters.ignored_settlements) == (0, 2)


async def test_a_correction_that_is_reported_again_is_no_contradiction(commit_log: CommitLog) -> None:
    await commit_log.write([intent(), settlement(cost_nanousd=900, estimated=True)])
    await commit_log.seal()
    await commit_log.write([settlement(cost_nanousd=700)])
    await commit_log.write([settlement(cost_nanousd=700)])
    assert (commit_log.counters.contradictions, commit_log.counters.corrections) == (0, 1)
