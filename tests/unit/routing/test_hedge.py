"""A second leg starts when the first is slower than it usually is, and not for everyone at once."""

from __future__ import annotations

import random
from statistics import quantiles

import pytest

from routing.hedge import HedgeBudget, HedgeSettings, hedge_after_s
from routing.latency import RecentLatencies, TargetLatencies

SETTINGS = HedgeSettings(quantile=0.95, fewest_times=20, most_share=0.1, burst=3.0)


def times(*seconds: float) -> RecentLatencies:
    recent = RecentLatencies()
    for one in seconds:
        recent.add(one)
    return recent


def test_a_quantile_is_of_the_last_times_only() -> None:
    rng, recent = random.Random(1), RecentLatencies(kept=50)
    drawn = [rng.lognormvariate(-1, 0.5) for _ in range(500)]
    for one in drawn:
        recent.add(one)
    kept = sorted(drawn[-50:])
    assert len(recent) == 50
    assert [recent.quantile(part) for part in (0.0, 0.5, 0.95, 1.0)] == [kept[0], kept[25], kept[47], kept[49]]
    assert recent.quantile(0.5) == pytest.approx(quantiles(drawn[-50:], n=2)[0], rel=0.1)


def test_too_few_times_tell_nothing() -> None:
    assert times(*[0.1] * 7).quantile(0.5) is None and times(*[0.1] * 8).quantile(0.5) == 0.1
    assert RecentLatencies().quantile(0.5, fewest=0) is None


def test_the_target_unasked_for_longest_is_forgotten() -> None:
    book = TargetLatencies(most=2)
    for name in ("a", "b", "a", "c"):
        book.of(name).add(1.0)
    assert (len(book.of("a")), len(book.of("b"))) == (2, 0)


def test_a_second_leg_waits_for_the_first_ones_p95() -> None:
    usual = times(*[0.4] * 19, 0.9)
    assert hedge_after_s(usual, RecentLatencies(), 3.0, SETTINGS) == 0.9
    assert hedge_after_s(times(*[0.4] * 19), RecentLatencies(), 3.0, SETTINGS) is None


def test_a_second_leg_that_would_come_too_late_is_not_begun() -> None:
    first, second = times(*[0.4] * 20), times(*[1.0] * 20)
    assert hedge_after_s(first, second, 1.5, SETTINGS) == 0.4
    assert hedge_after_s(first, second, 1.4, SETTINGS) is None


def test_second_legs_are_a_bounded_share_of_the_requests() -> None:
    budget, granted = HedgeBudget(SETTINGS), 0
    for _ in range(1_000):
        budget.request()
        granted += budget.take()
    assert 98 <= granted <= 103
    assert (budget.asked, budget.granted) == (1_000, granted)


def test_quiet_hours_do_not_save_up_second_legs() -> None:
    budget = HedgeBudget(SETTINGS)
    for _ in range(1_000):
        budget.request()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
