"""Limits and load: what fits, what does not and when it will, and how a crowd slows everyone."""

from __future__ import annotations

import pytest

from cluster.lab.emulator.core.capacity import Capacity, InFlightSlot, RateLimits, VendorLoad

ALICE = InFlightSlot("openai", "gpt-4o", "alice")
BOB = InFlightSlot("openai", "gpt-4o", "bob")


def test_a_minutes_requests_fit_at_once_and_the_next_waits_for_its_share() -> None:
    pressure = Capacity(RateLimits(requests_per_minute=3))
    assert [pressure.push_back(ALICE, 1, now_s=0.0) for _ in range(3)] == [None] * 3
    refused = pressure.push_back(ALICE, 1, now_s=5.0)
    assert refused is not None and refused.what == "requests" and refused.retry_after_s == pytest.approx(15.0)
    assert pressure.push_back(ALICE, 1, now_s=20.0) is None


def test_one_keys_limit_is_not_anothers() -> None:
    pressure = Capacity(RateLimits(requests_per_minute=1))
    assert [pressure.push_back(place, 1, now_s=0.0) for place in (ALICE, BOB)] == [None, None]


def test_tokens_that_do_not_fit_cost_the_request_and_no_token() -> None:
    pressure = Capacity(RateLimits(requests_per_minute=10, tokens_per_minute=100))
    refused = pressure.push_back(ALICE, 150, now_s=0.0)
    standing = pressure.standing(ALICE)
    assert refused is not None and refused.what == "tokens" and refused.retry_after_s == pytest.approx(30.0)
    assert standing.requests is not None and standing.tokens is not None
    assert (standing.requests.remaining, standing.tokens.remaining) == (9, 100)


def test_a_limit_says_when_it_is_whole_again() -> None:
    pressure = Capacity(RateLimits(requests_per_minute=2))
    pressure.push_back(ALICE, 1, now_s=0.0)
    gauge = pressure.standing(ALICE).requests
    assert gauge is not None and (gauge.limit, gauge.remaining, gauge.reset_s) == (2, 1, pytest.approx(30.0))


def test_a_key_has_so_many_places_and_the_model_so_many_for_all() -> None:
    pressure = Capacity(RateLimits(concurrent=1), VendorLoad(most=2))
    pressure.enter(ALICE)
    refused = pressure.push_back(ALICE, 1, now_s=0.0)
    assert refused is not None and refused.what == "concurrent" and pressure.push_back(BOB, 1, now_s=0.0) is None
    pressure.enter(BOB)
    overloaded = pressure.push_back(InFlightSlot("openai", "gpt-4o", "carol"), 1, now_s=0.0)
    assert overloaded is not None and overloaded.what == "overloaded"
    pressure.leave(ALICE)
    assert pressure.push_back(ALICE, 1, now_s=0.0) is None and pressure.in_flight(ALICE) == 1


@pytest.mark.parametrize(("in_flight", "slowdown"), [(0, 1.0), (10, 1.0), (15, 1.5), (30, 3.0)])
def test_a_crowd_beyond_the_free_places_slows_everyone(in_flight: int, slowdown: float) -> None:
    assert VendorLoad(free=10, capacity=10).slowdown(in_flight) == slowdown
