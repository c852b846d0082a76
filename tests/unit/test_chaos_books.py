"""The comparison of `make chaos` names every kind of difference between the books."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cluster.costs.models import Knowledge
from tests.chaos.books import ClientAnswer, Loss, VendorCost, compare, compare_months
from tests.chaos.lost_journal import LostJournal, Window, compare_windows, events_of_all, unbilled_of_all
from tests.chaos.schedule import FAULTS, lives
from tests.chaos.system_books import MarkedLine, compare_system


def row(event_id: str = "e1", cost_nanousd: int = 700, **changes: Any) -> dict[str, Any]:
    knowledge = Knowledge.EXPIRY if changes.get("estimated") else Knowledge.VENDOR_FINAL
    values = {"event_id": event_id, "tenant_id": "acme", "model": "gpt-6-luna", "cost_nanousd": cost_nanousd}
    return (
        values
        | {"estimated": 0, "knowledge": int(knowledge), "corrects": None, "month": 202611, "request_id": event_id}
        | {"outcome": "ok", "opened_at_s": 0.0}
        | changes
    )


def line(marker: str = "e1", cost_nanousd: int = 700, tenant_id: str = "acme") -> VendorCost:
    return VendorCost(marker=marker, tenant_id=tenant_id, cost_nanousd=cost_nanousd)


def answer(
    cost_nanousd: int = 700, status: str = "ok", marker: str = "e1", nothing_asked: bool = False
) -> ClientAnswer:
    return ClientAnswer(
        marker=marker, tenant_id="acme", status=status, cost_nanousd=cost_nanousd, nothing_asked=nothing_asked
    )


def test_books_that_agree_have_no_difference_and_estimates_are_listed_apart() -> None:
    rows = [row(), row("e2", 900, estimated=1), row("c1", -100, corrects="e2"), row("e3", 50, estimated=1)]
    result = compare([line(), line("e2", 800), line("e3", 100)], rows, {"acme": 1_550}, [answer()])
    assert result.differences == [] and result.never_left == []
    assert (result.estimates, result.estimated_nanousd, result.estimates_vendor_nanousd) == (2, 850, 900)


@pytest.mark.parametrize(
    ("vendor", "rows", "backend", "answers", "named"),
    [
        ([line(), line()], [row()], 700, [], "more than one call"),
        ([line(), line("e2", 5)], [row()], 700, [], "without an event"),
        ([line(tenant_id="globex")], [row()], 700, [], "billed to acme instead of globex"),
        ([line(cost_nanousd=699)], [row()], 700, [], "booked as exact, the vendor has 699"),
        ([line()], [row()], 1_400, [], "journal 700, backend 1400 nUSD, +700"),
        ([line()], [row()], 0, [], "backend 0 nUSD, -700"),
        ([line()], [row()], 700, [answer(cost_nanousd=701)], "701 nUSD to the client"),
        ([line()], [row()], 700, [answer(marker="e9")], "answered without an event"),
        ([line()], [row()], 700, [answer(status="unavailable", nothing_asked=True)], "nothing was asked"),
        ([line()], [row(estimated=2)], 700, [], "corrections count 2 estimates"),
    ],
)
def test_each_difference_is_named(
    vendor: list[VendorCost], rows: list[dict[str, Any]], backend: int, answers: list[ClientAnswer], named: str
) -> None:
    result = compare(vendor, rows, {"acme": backend}, answers)
    assert any(named in difference for difference in result.differences), result.differences


def test_an_estimate_without_a_call_is_listed() -> None:
    result = compare([], [row(estimated=1)], {"acme": 700}, [])
    assert len(result.never_left) == 1


@pytest.mark.parametrize(
    ("start", "cost_usd", "differences"),
    [("2026-11", 700e-9, 0), ("2026-11", 701e-9, 1), ("2026-10", 700e-9, 1)],
)
def test_months_of_the_backend_are_those_of_the_journal(start: str, cost_usd: float, differences: int) -> None:
    window = {"tenantId": "acme", "costUsd": cost_usd, "timestamp": "2026-11-30T23:59:59Z"}
    window["metadata"] = {"windowStart": f"{start}-30T23:59:58Z"}
    assert len(compare_months([row()], [window])) == differences


def lost_journal(**changes: Any) -> LostJournal:
    windows = {"w1": Window(tenant_id="acme", month=202611, cost_nanousd=700)}
    values = {"events": [], "open_events": frozenset(), "windows": windows, "unsealed_nanousd": Counter()}
    return LostJournal(**values | changes)


def test_a_lost_journal_excuses_the_calls_that_it_held_open_and_the_costs_that_the_backend_never_got() -> None:
    loss = Loss(unbilled_nanousd=Counter({("acme", 202611): 300}), open_events=frozenset({"e2"}))
    result = compare([line(), line("e2", 50)], [row()], {"acme": 400}, [], loss)
    assert result.differences == [] and (result.lost_events, result.lost_nanousd) == (1, 350)
    assert compare([line(), line("e3", 50)], [row()], {"acme": 400}, [], loss).differences


def test_costs_without_a_window_at_the_backend_are_lost_once() -> None:
    sealed = lost_journal(unsealed_nanousd=Counter({("acme", 202611): -20}))
    assert unbilled_of_all([sealed, lost_journal()], {"w1"}) == {("acme", 202611): -20}
    assert unbilled_of_all([sealed, lost_journal()], set()) == {("acme", 202611): 680}


def test_an_event_of_a_lost_journal_and_of_its_backup_counts_once() -> None:
    lost = lost_journal(events=[row("a"), row("b")])
    assert [one["event_id"] for one in events_of_all([row("a"), row("c")], [lost])] == ["a", "b", "c"]


def test_a_window_with_two_sums_and_a_window_of_no_journal_are_named() -> None:
    same, other = lost_journal().windows, {"w1": Window(tenant_id="acme", month=202611, cost_nanousd=1)}
    assert compare_windows([lost_journal()], same, {"w1": 700}) == []
    assert len(compare_windows([lost_journal()], other, {"w1": 1})) == 1
    assert len(compare_windows([lost_journal()], same, {"w1": 699, "w2": 5})) == 2


def test_lines_without_our_event_ids_are_paired_by_cost_and_then_with_estimates() -> None:
    def marked(marker: str, cost_nanousd: int) -> MarkedLine:
        return MarkedLine(marker=marker, tenant_id="acme", model="gpt-6-luna", cost_nanousd=cost_nanousd)

    lines = [marked("m1", 700), marked("m2", 30), marked("m1", 0)]
    rows = [row("a", request_id="r1"), row("b", 40, estimated=1)]
    free = row("c", 0, request_id="r3")
    result = compare_system(lines, [*rows, free], {"acme": 740}, [answer(marker="m1")])
    assert result.differences == [] and result.never_left == []
    wrong = compare_system([*lines, marked("m3", 5)], rows, {"acme": 740}, [answer(701, marker="m1")])
    assert len(wrong.differences) == 2
    never_left = row("z", 9, estimated=1, request_id="r1")
    again = compare_system(lines[:2], [*rows, never_left], {"acme": 749}, [answer(709, marker="m1")])
    assert again.differences == [] and len(again.never_left) == 1


def test_a_line_is_paired_with_the_event_of_its_time_and_not_only_of_its_cost() -> None:
    lines = [
        MarkedLine(marker=f"m{at_s}", tenant_id="acme", model="gpt-6-luna", cost_nanousd=700, arrived_at_s=at_s)
        for at_s in (1.0, 21.0)
    ]
    rows = [row("late", opened_at_s=20.5), row("cut", 650, estimated=1, opened_at_s=0.5)]
    assert compare_system(lines, rows, {"acme": 1_350}, [answer(marker="m21.0")]).differences == []


@pytest.mark.parametrize(("cost_nanousd", "differences"), [(1_000, 0), (699, 1)])
def test_the_cost_of_a_failed_attempt_may_change_after_the_answer_has_left(cost_nanousd: int, differences: int) -> None:
    failed = row("b", 0, request_id="e1", outcome="error")
    line = MarkedLine(marker="m1", tenant_id="acme", model="gpt-6-luna", cost_nanousd=700)
    result = compare_system([line], [row(), failed], {"acme": 700}, [answer(cost_nanousd, marker="m1")])
    assert len(result.differences) == differences


def test_a_schedule_is_the_same_for_the_same_seed_and_has_every_fault() -> None:
    schedule = lives(60, seed=3)
    assert schedule == lives(60, seed=3) != lives(60, seed=4)
    assert {fault for life in schedule for fault in life.faults} == set(FAULTS)
