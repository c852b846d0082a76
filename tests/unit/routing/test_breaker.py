"""A breaker matches a plain reference model for any order of events."""

from __future__ import annotations

import asyncio
import random

import pytest

from routing.breaker import Breaker, Breakers, BreakerSettings, BreakerState, Permit, counts_against
from routing.errors import (
    BadInput,
    BudgetExceeded,
    Overloaded,
    ProviderAuth,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ReplicaLost,
)

SETTINGS = BreakerSettings(window_s=10, failures=3, failure_share=0.5, open_s=4, longest_open_s=20, jitter_share=0.0)


def new_breaker(settings: BreakerSettings = SETTINGS) -> Breaker:
    return Breaker(settings, random.Random(5))


def attempt(breaker: Breaker, now_s: float, error: BaseException | None = None) -> None:
    permit = breaker.acquire(now_s)
    assert permit is not None
    breaker.report(permit, error, now_s)


def open_breaker(settings: BreakerSettings = SETTINGS) -> Breaker:
    breaker = new_breaker(settings)
    for _ in range(settings.failures):
        attempt(breaker, 0.0, ProviderOverloaded())
    assert breaker.state(0.0) is BreakerState.OPEN
    return breaker


def test_a_breaker_opens_when_both_the_count_and_the_share_of_failures_are_reached() -> None:
    breaker = new_breaker()
    for _ in range(4):
        attempt(breaker, 0.0)
    for _ in range(3):
        attempt(breaker, 1.0, ProviderTimeout())
    assert breaker.state(1.0) is BreakerState.CLOSED  # three of seven
    attempt(breaker, 1.0, ProviderTimeout())
    assert breaker.state(1.0) is BreakerState.OPEN and breaker.acquire(4.9) is None


def test_a_report_returns_the_state_to_which_it_turns_the_breaker() -> None:
    breaker = new_breaker()
    permits = [permit for _ in range(4) if (permit := breaker.acquire(0.0)) is not None]
    turned = [breaker.report(permit, ProviderOverloaded(), 0.0) for permit in permits]
    assert turned == [None, None, BreakerState.OPEN, None]
    probe = breaker.acquire(4.0)
    assert probe is not None and breaker.report(probe, None, 5.0) is BreakerState.CLOSED


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = new_breaker()
    for now_s in (0.0, 0.0, 10.0, 10.0):
        attempt(breaker, now_s, ProviderOverloaded())
    assert breaker.state(10.0) is BreakerState.CLOSED
    attempt(breaker, 10.1, ProviderOverloaded())
    assert breaker.state(10.1) is BreakerState.OPEN


def test_a_half_open_breaker_allows_one_probe_and_closes_on_its_success() -> None:
    breaker = open_breaker()
    probe = breaker.acquire(4.0)
    assert probe is not None and probe.probe and breaker.state(4.0) is BreakerState.HALF_OPEN
    assert breaker.acquire(4.0) is None and breaker.acquire(5.0) is None
    breaker.report(probe, None, 5.0)
    assert breaker.state(5.0) is BreakerState.CLOSED and breaker.acquire(5.0) is not None


def test_each_failed_probe_doubles_the_open_time_up_to_the_maximum() -> None:
    breaker, now_s, lengths = open_breaker(), 0.0, []
    for _ in range(5):
        lengths.append(breaker.retry_after_s(now_s))
        now_s += lengths[-1]
        attempt(breaker, now_s, ProviderOverloaded())
    assert lengths == [4, 8, 16, 20, 20]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ProviderRefused(), ReplicaLost()])
def test_an_inconclusive_probe_allows_another_probe(error: BaseException) -> None:
    breaker = open_breaker()
    attempt(breaker, 4.0, error)
    assert breaker.state(4.0) is BreakerState.HALF_OPEN
    attempt(breaker, 4.0)
    assert breaker.state(4.0) is BreakerState.CLOSED


def test_a_probe_that_is_never_reported_is_replaced_after_its_timeout() -> None:
    breaker = open_breaker()
    unreported = breaker.acquire(4.0)
    assert unreported is not None and breaker.acquire(33.9) is None
    second_probe = breaker.acquire(34.0)
    assert second_probe is not None
    breaker.report(unreported, ProviderOverloaded(), 34.5)
    assert breaker.state(34.5) is BreakerState.HALF_OPEN
    breaker.report(second_probe, None, 35.0)
    assert breaker.state(35.0) is BreakerState.CLOSED


def test_a_retry_after_only_lengthens_the_opening_up_to_the_maximum() -> None:
    short, long, excessive = new_breaker(), new_breaker(), new_breaker()
    for breaker, retry_after_s in ((short, 1.0), (long, 9.0), (excessive, 86_400.0)):
        for _ in range(3):
            attempt(breaker, 0.0, ProviderRateLimited(retry_after_s=retry_after_s))
    assert [breaker.retry_after_s(0.0) for breaker in (short, long, excessive)] == [4.0, 9.0, 20.0]


def test_a_late_report_can_lengthen_the_opening_but_never_closes_it() -> None:
    breaker = new_breaker()
    early = breaker.acquire(0.0)
    assert early is not None
    for _ in range(3):
        attempt(breaker, 0.0, ProviderOverloaded())
    breaker.report(early, ProviderRateLimited(retry_after_s=10.0), 1.0)
    assert breaker.retry_after_s(1.0) == 10.0
    probe = breaker.acquire(11.0)
    assert probe is not None
    breaker.report(early, None, 11.0)
    assert breaker.state(11.0) is BreakerState.HALF_OPEN


def test_open_times_are_jittered_within_the_configured_share() -> None:
    settings = BreakerSettings(failures=1, open_s=10, jitter_share=0.2)
    rng = random.Random(5)
    lengths = set()
    for _ in range(50):
        breaker = Breaker(settings, rng)
        attempt(breaker, 0.0, ProviderOverloaded())
        lengths.add(breaker.retry_after_s(0.0))
    assert len(lengths) > 40 and min(lengths) >= 8 and max(lengths) <= 12 and max(lengths) - min(lengths) > 3


@pytest.mark.parametrize(
    ("error", "counts"),
    [(None, False), (ProviderOverloaded(), True), (ProviderTimeout(), True), (ProviderAuth(), True)]
    + [(error, None) for error in (ProviderRefused(), ReplicaLost(), BadInput(), BudgetExceeded(), Overloaded())]
    + [(asyncio.CancelledError(), None), (GeneratorExit(), None)],
)
def test_only_provider_failures_count_against_a_target(error: BaseException | None, counts: bool | None) -> None:
    assert counts_against(error) is counts


class ReferenceBreaker:
    """The specification as plain code: every outcome is kept, and every decision is computed from all of them."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[float, bool]] = []
        self.until_s: float | None = None
        self.hold_until_s = 0.0
        self.openings = 0
        self.probe: tuple[float, Permit] | None = None

    def allows(self, now_s: float) -> bool:
        if self.until_s is None:
            return True
        return now_s >= self.until_s and (self.probe is None or now_s >= self.probe[0] + SETTINGS.probe_s)

    def open(self, now_s: float) -> None:
        length_s = min(SETTINGS.longest_open_s, SETTINGS.open_s * 2**self.openings)
        self.until_s = max(now_s + length_s, self.hold_until_s)
        self.openings, self.outcomes, self.probe = self.openings + 1, [], None

    def report(self, permit: Permit, current: bool, error: BaseException | None, now_s: float) -> None:
        failed = counts_against(error)
        retry_after_s = getattr(error, "retry_after_s", None)
        if failed and retry_after_s:
            self.hold_until_s = max(self.hold_until_s, now_s + min(retry_after_s, SETTINGS.longest_open_s))
            if self.until_s is not None and now_s < self.until_s:
                self.until_s = max(self.until_s, self.hold_until_s)
        if permit.probe and self.probe is not None and self.probe[1] is permit:
            self.probe = None
            if failed is not None:
                self.open(now_s) if failed else self.close()
        elif not permit.probe and current and failed is not None:
            self.outcomes.append((now_s, failed))
            recent = [bad for at_s, bad in self.outcomes if at_s > now_s - SETTINGS.window_s]
            if failed and sum(recent) >= SETTINGS.failures and sum(recent) >= SETTINGS.failure_share * len(recent):
                self.open(now_s)

    def close(self) -> None:
        self.until_s, self.openings, self.outcomes = None, 0, []


@pytest.mark.parametrize("seed", range(40))
def test_the_breaker_matches_the_reference_for_random_event_sequences(seed: int) -> None:
    rng, breaker, reference = random.Random(seed), new_breaker(), ReferenceBreaker()
    now_s, running, closings = 0.0, list[tuple[Permit, int]](), 0
    for _ in range(400):
        now_s += rng.choice((0.0, 0.1, 1.0, 5.0))
        if rng.random() < 0.5 or not running:
            permit = breaker.acquire(now_s)
            assert (permit is not None) == reference.allows(now_s)
            if permit is not None:
                assert permit.probe == (reference.until_s is not None)
                reference.probe = (now_s, permit) if permit.probe else reference.probe
                running.append((permit, closings))
            continue
        permit, closings_before = running.pop(rng.randrange(len(running)))
        error = rng.choice(
            [
                *(None, ProviderOverloaded(), ProviderTimeout(), ProviderRefused(), asyncio.CancelledError()),
                ProviderRateLimited(retry_after_s=rng.choice((1.0, 7.0, 100.0))),
            ]
        )
        was_closed = reference.until_s is None
        breaker.report(permit, error, now_s)
        reference.report(permit, was_closed and closings_before == closings, error, now_s)
        closings += was_closed != (reference.until_s is None)
        assert breaker.retry_after_s(now_s) == max(0.0, (reference.until_s or now_s) - now_s)
        assert (breaker.state(now_s) is BreakerState.CLOSED) == (reference.until_s is None)


def test_each_target_has_its_own_breaker_and_the_least_recently_used_is_evicted() -> None:
    breakers = Breakers(random.Random(1), SETTINGS, max_breakers=2)
    for _ in range(3):
        attempt(breakers.of("openai", "a"), 0.0, ProviderOverloaded())
    assert breakers.states(0.0) == {("openai", "a"): BreakerState.OPEN}
    breakers.of("gemini", "b"), breakers.of("openai", "a"), breakers.of("gemini", "c")
    assert breakers.states(0.0) == {("openai", "a"): BreakerState.OPEN, ("gemini", "c"): BreakerState.CLOSED}
