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


def breaker(settings: BreakerSettings = SETTINGS) -> Breaker:
    return Breaker(settings, random.Random(5))


def attempt(breaker: Breaker, now_s: float, error: BaseException | None = None) -> None:
    permit = breaker.acquire(now_s)
    assert permit is not None
    breaker.report(permit, error, now_s)


def opened(settings: BreakerSettings = SETTINGS) -> Breaker:
    one = breaker(settings)
    for _ in range(settings.failures):
        attempt(one, 0.0, ProviderOverloaded())
    assert one.state(0.0) is BreakerState.OPEN
    return one


def test_a_breaker_opens_by_count_and_by_share() -> None:
    one = breaker()
    for _ in range(4):
        attempt(one, 0.0)
    for _ in range(3):
        attempt(one, 1.0, ProviderTimeout())
    assert one.state(1.0) is BreakerState.CLOSED  # three of seven
    attempt(one, 1.0, ProviderTimeout())
    assert one.state(1.0) is BreakerState.OPEN and one.acquire(4.9) is None


def test_failures_outside_of_the_window_are_forgotten() -> None:
    one = breaker()
    for now_s in (0.0, 0.0, 10.0, 10.0):
        attempt(one, now_s, ProviderOverloaded())
    assert one.state(10.0) is BreakerState.CLOSED
    attempt(one, 10.1, ProviderOverloaded())
    assert one.state(10.1) is BreakerState.OPEN


def test_one_probe_goes_through_and_its_success_closes() -> None:
    one = opened()
    probe = one.acquire(4.0)
    assert probe is not None and probe.probe and one.state(4.0) is BreakerState.HALF_OPEN
    assert one.acquire(4.0) is None and one.acquire(5.0) is None
    one.report(probe, None, 5.0)
    assert one.state(5.0) is BreakerState.CLOSED and one.acquire(5.0) is not None


def test_a_probe_that_fails_opens_for_twice_as_long_up_to_the_longest() -> None:
    one, now_s, lengths = opened(), 0.0, []
    for _ in range(5):
        lengths.append(one.opens_again_in_s(now_s))
        now_s += lengths[-1]
        attempt(one, now_s, ProviderOverloaded())
    assert lengths == [4, 8, 16, 20, 20]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ProviderRefused(), ReplicaLost()])
def test_a_probe_that_says_nothing_frees_its_slot(error: BaseException) -> None:
    one = opened()
    attempt(one, 4.0, error)
    assert one.state(4.0) is BreakerState.HALF_OPEN
    attempt(one, 4.0)
    assert one.state(4.0) is BreakerState.CLOSED


def test_a_probe_that_nobody_reports_is_followed_by_another() -> None:
    one = opened()
    lost = one.acquire(4.0)
    assert lost is not None and one.acquire(33.9) is None
    again = one.acquire(34.0)
    assert again is not None
    one.report(lost, ProviderOverloaded(), 34.5)
    assert one.state(34.5) is BreakerState.HALF_OPEN
    one.report(again, None, 35.0)
    assert one.state(35.0) is BreakerState.CLOSED


def test_a_retry_after_only_lengthens_and_no_further_than_the_longest() -> None:
    shorter, longer, endless = breaker(), breaker(), breaker()
    for one, retry_after_s in ((shorter, 1.0), (longer, 9.0), (endless, 86_400.0)):
        for _ in range(3):
            attempt(one, 0.0, ProviderRateLimited(retry_after_s=retry_after_s))
    assert [one.opens_again_in_s(0.0) for one in (shorter, longer, endless)] == [4.0, 9.0, 20.0]


def test_an_attempt_from_before_the_opening_lengthens_it_and_nothing_else() -> None:
    one = breaker()
    early = one.acquire(0.0)
    assert early is not None
    for _ in range(3):
        attempt(one, 0.0, ProviderOverloaded())
    one.report(early, ProviderRateLimited(retry_after_s=10.0), 1.0)
    assert one.opens_again_in_s(1.0) == 10.0
    probe = one.acquire(11.0)
    assert probe is not None
    one.report(early, None, 11.0)
    assert one.state(11.0) is BreakerState.HALF_OPEN


def test_open_times_are_jittered_within_their_share() -> None:
    settings = BreakerSettings(failures=1, open_s=10, jitter_share=0.2)
    rng = random.Random(5)
    lengths = set()
    for _ in range(50):
        one = Breaker(settings, rng)
        attempt(one, 0.0, ProviderOverloaded())
        lengths.add(one.opens_again_in_s(0.0))
    assert len(lengths) > 40 and min(lengths) >= 8 and max(lengths) <= 12 and max(lengths) - min(lengths) > 3


@pytest.mark.parametrize(
    ("error", "counts"),
    [(None, False), (ProviderOverloaded(), True), (ProviderTimeout(), True), (ProviderAuth(), True)]
    + [(error, None) for error in (ProviderRefused(), ReplicaLost(), BadInput(), BudgetExceeded(), Overloaded())]
    + [(asyncio.CancelledError(), None), (GeneratorExit(), None)],
)
def test_what_counts_against_a_target(error: BaseException | None, counts: bool | None) -> None:
    assert counts_against(error) is counts


class Naive:
    """The description, word by word: every outcome kept, every question answered from all of them."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[float, bool]] = []
        self.until_s: float | None = None
        self.hold_until_s = 0.0
        self.openings = 0
        self.probe: tuple[float, Permit] | None = None

    def may_ask(self, now_s: float) -> bool:
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
def test_any_order_of_events_ends_where_the_description_says(seed: int) -> None:
    rng, real, naive = random.Random(seed), breaker(), Naive()
    now_s, running, closings = 0.0, list[tuple[Permit, int]](), 0
    for _ in range(400):
        now_s += rng.choice((0.0, 0.1, 1.0, 5.0))
        if rng.random() < 0.5 or not running:
            permit = real.acquire(now_s)
            assert (permit is not None) == naive.may_ask(now_s)
            if permit is not None:
                assert permit.probe == (naive.until_s is not None)
                naive.probe = (now_s, permit) if permit.probe else naive.probe
                running.append((permit, closings))
            continue
        permit, since = running.pop(rng.randrange(len(running)))
        error = rng.choice(
            [
                *(None, ProviderOverloaded(), ProviderTimeout(), ProviderRefused(), asyncio.CancelledError()),
                ProviderRateLimited(retry_after_s=rng.choice((1.0, 7.0, 100.0))),
            ]
        )
        was_closed = naive.until_s is None
        real.report(permit, error, now_s)
        naive.report(permit, was_closed and since == closings, error, now_s)
        closings += was_closed != (naive.until_s is None)
        assert real.opens_again_in_s(now_s) == max(0.0, (naive.until_s or now_s) - now_s)
        assert (real.state(now_s) is BreakerState.CLOSED) == (naive.until_s is None)


def test_the_book_has_one_breaker_a_target_and_forgets_the_one_unasked_for_longest() -> None:
    book = Breakers(random.Random(1), SETTINGS, most=2)
    for _ in range(3):
        attempt(book.of("openai", "a"), 0.0, ProviderOverloaded())
    assert book.states(0.0) == {("openai", "a"): BreakerState.OPEN}
    book.of("gemini", "b"), book.of("openai", "a"), book.of("gemini", "c")
    assert book.states(0.0) == {("openai", "a"): BreakerState.OPEN, ("gemini", "c"): BreakerState.CLOSED}
