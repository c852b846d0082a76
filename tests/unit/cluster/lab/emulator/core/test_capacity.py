"""Limits and load: accepted and refused requests, retry times, and the slowdown under load."""

from __future__ import annotations

import pytest

from cluster.lab.emulator.core.capacity import Capacity, InFlightSlot, RateLimits, VendorLoad

ALICE = InFlightSlot("openai", "gpt-4o", "alice")
BOB = InFlightSlot("openai", "gpt-4o", "bob")


def test_a_whole_minutes_requests_are_admitted_at_once_and_the_next_is_rejected() -> None:
    capacity = Capacity(RateLimits(requests_per_minute=3))
    assert [capacity.admit(ALICE, 1, now_s=0.0) for _ in range(3)] == [None] * 3
    rejection = capacity.admit(ALICE, 1, now_s=5.0)
    assert rejection is not None and rejection.reason == "requests" and rejection.retry_after_s == pytest.approx(15.0)
    assert capacity.admit(ALICE, 1, now_s=20.0) is None


def test_each_key_has_its_own_limit() -> None:
    capacity = Capacity(RateLimits(requests_per_minute=1))
    assert [capacity.admit(slot, 1, now_s=0.0) for slot in (ALICE, BOB)] == [None, None]


def test_a_request_over_the_token_limit_is_counted_without_its_tokens() -> None:
    capacity = Capacity(RateLimits(requests_per_minute=10, tokens_per_minute=100))
    rejection = capacity.admit(ALICE, 150, now_s=0.0)
    limit_status = capacity.limit_status(ALICE)
    assert rejection is not None and rejection.reason == "tokens" and rejection.retry_after_s == pytest.approx(30.0)
    assert limit_status.requests is not None and limit_status.tokens is not None
    assert (limit_status.requests.remaining, limit_status.tokens.remaining) == (9, 100)


def test_a_limit_reports_the_time_until_it_is_full() -> None:
    capacity = Capacity(RateLimits(requests_per_minute=2))
    capacity.admit(ALICE, 1, now_s=0.0)
    gauge = capacity.limit_status(ALICE).requests
    assert gauge is not None and (gauge.limit, gauge.remaining) == (2, 1)
    assert gauge.reset_s == pytest.approx(30.0)


def test_concurrency_is_limited_per_key_and_per_model() -> None:
    capacity = Capacity(RateLimits(concurrent=1), VendorLoad(most=2))
    capacity.enter(ALICE)
    rejection = capacity.admit(ALICE, 1, now_s=0.0)
    assert rejection is not None and rejection.reason == "concurrent" and capacity.admit(BOB, 1, now_s=0.0) is None
    capacity.enter(BOB)
    overloaded = capacity.admit(InFlightSlot("openai", "gpt-4o", "carol"), 1, now_s=0.0)
    assert overloaded is not None and overloaded.reason == "overloaded"
    capacity.leave(ALICE)
    assert capacity.admit(ALICE, 1, now_s=0.0) is None and capacity.in_flight(ALICE) == 1


@pytest.mark.parametrize(("in_flight", "slowdown"), [(0, 1.0), (10, 1.0), (15, 1.5), (30, 3.0)])
def test_requests_beyond_the_free_capacity_slow_all_requests(in_flight: int, slowdown: float) -> None:
    assert VendorLoad(free=10, capacity=10).slowdown(in_flight) == slowdown
