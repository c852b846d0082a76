"""No order of reservations and settlements spends more than a budget, and a restart continues each of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.ledger import Ledger
from cluster.costs.models import Receipt, SettledIntent
from routing.errors import BudgetExceeded
from routing.models import Spending
from tests.support.cost_entries import intent, settlement, spend
from tests.support.manual_clock import ManualClock

NOON_S = dt.datetime(2027, 5, 14, 12, tzinfo=dt.UTC).timestamp()
BUDGETS: dict[str, Any] = {"budget_nanousd": 5_000, "daily_budget_nanousd": 2_000, "room_budget_nanousd": 1_000}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_S)


@pytest.fixture
async def commit_log(tmp_path: Path, clock: ManualClock) -> AsyncIterator[CommitLog]:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), clock)
    yield commit_log
    await commit_log.aclose()


async def reserve(commit_log: CommitLog, event_id: str, **changes: Any) -> Receipt:
    (receipt,) = await commit_log.write([intent(event_id, **(BUDGETS | changes))])
    return receipt


def refused(receipt: Receipt) -> dict[str, Any]:
    assert isinstance(receipt, BudgetExceeded)
    return receipt.facts


async def test_a_rooms_budget_refuses_with_its_estimate_remainder_and_reset(commit_log: CommitLog) -> None:
    assert await reserve(commit_log, "e1", estimate_nanousd=600) == Spending(
        month_nanousd=600, day_nanousd=600, room_nanousd=600
    )
    refusal = await reserve(commit_log, "e2", estimate_nanousd=500)
    assert refused(refusal) == {
        "budget": "room",
        "estimate_nanousd": 500,
        "remaining_nanousd": 400,
        "spent_nanousd": 600,
        "limit_nanousd": 1_000,
        "resets_at": "2027-05-15T00:00:00+00:00",
    }
    assert isinstance(refusal, BudgetExceeded) and refusal.message == (
        "The request may cost 500 nano-dollars, and 400 of the room's daily budget remain"
        " until 2027-05-15T00:00:00+00:00."
    )
    # Another room of the tenant has a budget of its own.
    assert isinstance(await reserve(commit_log, "e3", estimate_nanousd=500, room="tenant_acme_b"), Spending)


async def test_the_budget_that_resets_last_is_the_one_named(commit_log: CommitLog) -> None:
    all_spent = {"budget_nanousd": 10, "daily_budget_nanousd": 10}
    assert refused(await reserve(commit_log, "e1", **all_spent))["budget"] == "monthly"
    assert refused(await reserve(commit_log, "e2", daily_budget_nanousd=10))["budget"] == "daily"


async def test_a_lowered_budget_counts_from_the_next_reservation(commit_log: CommitLog) -> None:
    assert isinstance(await reserve(commit_log, "e1", estimate_nanousd=900), Spending)
    assert refused(await reserve(commit_log, "e2", estimate_nanousd=50, daily_budget_nanousd=920))["budget"] == "daily"
    assert isinstance(await reserve(commit_log, "e3", estimate_nanousd=50), Spending)


async def test_a_day_begins_anew_and_its_reservations_carry_over(commit_log: CommitLog, clock: ManualClock) -> None:
    await spend(commit_log, "e1", 700, **BUDGETS)
    await reserve(commit_log, "e2", estimate_nanousd=200)
    clock.now_s += 86_400
    assert await reserve(commit_log, "e3", estimate_nanousd=100) == Spending(
        month_nanousd=1_000, day_nanousd=300, room_nanousd=300
    )


@pytest.mark.parametrize(("zone", "resets_at"), [("Asia/Kathmandu", "+05:45"), ("America/New_York", "-04:00")])
async def test_days_and_months_begin_at_the_tenants_own_midnight(
    commit_log: CommitLog, clock: ManualClock, zone: str, resets_at: str
) -> None:
    await spend(commit_log, "e1", 700, estimate_nanousd=700, time_zone=zone, **BUDGETS)
    refusal = refused(await reserve(commit_log, "e2", estimate_nanousd=5_000, time_zone=zone))
    assert refusal["budget"] == "monthly" and refusal["resets_at"] == f"2027-06-01T00:00:00{resets_at}"
    midnight_s = dt.datetime.fromisoformat(f"2027-05-15T00:00:00{resets_at}").timestamp()
    clock.now_s = midnight_s - 1
    assert commit_log.spent("acme", "tenant_acme_standup") == Spending(
        month_nanousd=700, day_nanousd=700, room_nanousd=700
    )
    clock.now_s = midnight_s
    assert commit_log.spent("acme", "tenant_acme_standup") == Spending(month_nanousd=700)
    clock.now_s = dt.datetime.fromisoformat(refusal["resets_at"]).timestamp()
    assert commit_log.spent("acme", "") == Spending()


def test_a_new_time_zone_counts_from_the_next_reservation() -> None:
    ledger = Ledger()
    ledger.reserve(intent(room="", **BUDGETS), NOON_S)
    settled = SettledIntent(tenant_id="acme", released_nanousd=1_000, added_nanousd=700, booked_at_s=NOON_S)
    ledger.settle(settled, NOON_S)
    # It is the next day there.
    ledger.reserve(intent("e2", room="", time_zone="Pacific/Kiritimati", **BUDGETS), NOON_S)
    assert ledger.committed("acme", "", NOON_S) == Spending(month_nanousd=1_700, day_nanousd=1_000)


def test_a_threshold_is_raised_by_the_first_event_that_reaches_it_alone() -> None:
    ledger = Ledger(thresholds=(0.5,))
    settled = SettledIntent(tenant_id="acme", released_nanousd=1_000, added_nanousd=900, booked_at_s=NOON_S)
    raised = []
    for number in range(4):
        ledger.reserve(intent(f"e{number}", room="", budget_nanousd=4_000), NOON_S)
        ledger.settle(settled, NOON_S)
        raised.append([(alert.period, alert.spent_nanousd) for alert in ledger.alerts])
        ledger.alerts.clear()
    assert raised == [[], [], [("2027-05", 2_700)], []]


def test_a_tenants_own_thresholds_replace_those_of_the_configuration() -> None:
    ledger = Ledger(thresholds=(0.5, 1.0))
    budgets: dict[str, Any] = {"room": "", "budget_nanousd": 4_000, "estimate_nanousd": 1_000}
    settled = SettledIntent(tenant_id="acme", released_nanousd=1_000, added_nanousd=1_000, booked_at_s=NOON_S)
    raised = []
    for number, thresholds in enumerate([(0.25, 0.75), (0.25, 0.75), None, ()]):
        ledger.reserve(intent(f"e{number}", budget_alerts=thresholds, **budgets), NOON_S)
        ledger.settle(settled, NOON_S)
        raised.append([alert.threshold for alert in ledger.alerts])
        ledger.alerts.clear()
    assert raised == [[0.25], [], [0.5], []]


def test_speech_that_is_spent_already_leaves_the_thresholds_alone() -> None:
    ledger = Ledger(thresholds=(0.9,))
    ledger.reserve(intent("e1", room="", budget_nanousd=4_000, budget_alerts=(0.1,)), NOON_S)
    ledger.reserve(intent("speech", room="", estimate_nanousd=500), NOON_S)
    ledger.settle(SettledIntent(tenant_id="acme", released_nanousd=500, added_nanousd=500, booked_at_s=NOON_S), NOON_S)
    assert [alert.threshold for alert in ledger.alerts] == [0.1]


def test_a_budget_that_a_tenant_no_longer_has_raises_nothing() -> None:
    ledger = Ledger(thresholds=(0.5,))
    ledger.reserve(intent("e1", job_id="j", budget_nanousd=1_000, estimate_nanousd=10), NOON_S)
    ledger.reserve(intent("e2", job_id="j", estimate_nanousd=1_000), NOON_S)
    settled = SettledIntent(tenant_id="acme", released_nanousd=1_000, added_nanousd=900, booked_at_s=NOON_S)
    ledger.settle(settled, NOON_S)
    assert ledger.alerts == []


async def test_speech_that_is_spent_already_counts_against_every_budget(commit_log: CommitLog) -> None:
    speech = intent("speech", budget_nanousd=None, estimate_nanousd=5_000)
    assert isinstance((await commit_log.write([speech, settlement("speech", 5_000)]))[1], Spending)
    assert refused(await reserve(commit_log, "e1", estimate_nanousd=1))["remaining_nanousd"] == 0


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_restart_continues_each_budget_where_it_was(tmp_path: Path, clock: ManualClock, crashed: bool) -> None:
    path = tmp_path / "restarted.db"
    first = CommitLog(Journal(path), clock)
    zone = {"time_zone": "Asia/Kathmandu"}
    await spend(first, "e1", 300, **BUDGETS, **zone)
    await reserve(first, "e2", estimate_nanousd=200, **zone)
    before = first.spent("acme", "tenant_acme_standup")
    if crashed:
        first._journal._file.release()
    else:
        await first.aclose()
    clock.now_s += 60
    second = CommitLog(Journal(path), clock)
    assert (
        second.spent("acme", "tenant_acme_standup")
        == before
        == Spending(month_nanousd=300, day_nanousd=300, room_nanousd=300)
    )
    refusal = refused((await second.write([intent("e3", estimate_nanousd=501, **BUDGETS, **zone)]))[0])
    assert (refusal["budget"], refusal["remaining_nanousd"]) == ("room", 500)
    await second.aclose()


async def test_a_failed_commit_leaves_every_budget_as_it_was(commit_log: CommitLog) -> None:
    await spend(commit_log, "e1", 300, **BUDGETS)
    with pytest.raises(Exception, match="cost"):
        await commit_log.write([intent("e2", **BUDGETS), intent("e3", opened_at_s=float("nan"))])
    assert await reserve(commit_log, "e4", estimate_nanousd=700) == Spending(
        month_nanousd=1_000, day_nanousd=1_000, room_nanousd=1_000
    )


async def test_the_account_of_an_idle_room_is_forgotten(commit_log: CommitLog, clock: ManualClock) -> None:
    await spend(commit_log, "e1", 300, **BUDGETS)
    await reserve(commit_log, "e2", room="tenant_acme_open", estimate_nanousd=1)
    clock.now_s += 4 * 86_400
    await spend(commit_log, "e3", 300, room="", **BUDGETS)
    assert set(commit_log._journal.accounts.load()) == {("acme", "")}
    assert set(commit_log._writer._ledger.accounts) == {("acme", ""), ("acme", "tenant_acme_open")}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from(["a", "b"]), st.integers(0, 700)),
        st.tuples(st.just("settle"), st.integers(0, 30), st.floats(0, 1)),
        st.tuples(st.just("wait"), st.integers(0, 20 * 3_600), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(steps=STEPS, zone=st.sampled_from(["", "Asia/Kathmandu", "Pacific/Kiritimati", "America/New_York"]))
def test_no_interleaving_of_reservations_and_settlements_spends_more_than_a_budget(
    steps: list[tuple[Any, ...]], zone: str
) -> None:
    ledger, now_s = Ledger(), NOON_S
    open_intents: list[tuple[str, int]] = []
    for step, first, second in steps:
        if step == "wait":
            now_s += first
        elif step == "settle" and open_intents:
            room, estimate = open_intents.pop(first % len(open_intents))
            ledger.settle(
                SettledIntent(
                    tenant_id="acme",
                    room=room,
                    released_nanousd=estimate,
                    added_nanousd=int(estimate * second),
                    booked_at_s=now_s,
                ),
                now_s,
            )
        elif step == "reserve":
            changes: dict[str, Any] = {"room": first, "estimate_nanousd": second, "time_zone": zone, **BUDGETS}
            try:
                ledger.reserve(intent(**changes), now_s)
                open_intents.append((first, second))
            except BudgetExceeded as refusal:
                assert refusal.facts["remaining_nanousd"] < second
        for room in ("a", "b"):
            committed = ledger.committed("acme", room, now_s)
            assert committed.month_nanousd <= BUDGETS["budget_nanousd"]
            assert committed.day_nanousd <= BUDGETS["daily_budget_nanousd"]
            assert committed.room_nanousd <= BUDGETS["room_budget_nanousd"]
    assert ledger.accounts == {} or ledger.accounts["acme", ""].reserved_nanousd == sum(one for _, one in open_intents)
