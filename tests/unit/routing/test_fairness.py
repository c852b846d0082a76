"""A flood from one tenant costs that tenant alone: requests of others find a slot."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count
from statistics import quantiles

import pytest

from routing.errors import Overloaded
from routing.fairness import FairnessSettings, FairShare, fair_level

SLOTS = 32
INF = float("inf")
RUN_S = 120.0


def shares(reserve_share: float = 0.2) -> FairShare:
    return FairShare(FairnessSettings(slots=SLOTS, reserve_share=reserve_share))


def fill(fair: FairShare, tenant_id: str, now_s: float = 0.0) -> int:
    """Take slots until one is refused; returns how many there were."""
    for taken in count():
        try:
            fair.take(tenant_id, now_s)
        except Overloaded:
            return taken
    raise AssertionError


@pytest.mark.parametrize(
    ("demands", "level"),
    [([INF], 12), ([INF, INF], 6), ([2, INF, INF], 5), ([1, 2, INF], 9), ([4, 4, 4], INF), ([5, 5, 5], 4), ([], INF)],
)
def test_the_fair_level_gives_the_small_what_they_want_and_the_rest_equal_parts(
    demands: list[float], level: float
) -> None:
    assert fair_level(12, demands) == level


def test_a_tenant_alone_may_take_all_but_the_reserve() -> None:
    fair = shares()
    assert fill(fair, "acme") == SLOTS - 6
    assert fair.counts().refused_unfair == 1 and fair.counts().refused_full == 0


def test_a_newcomer_finds_a_slot_beside_a_flood_and_the_flood_falls_back_to_its_part() -> None:
    fair = shares()
    held = fill(fair, "flood")
    assert fill(fair, "small") >= 6
    for _ in range(held):
        fair.release("flood")
    assert fill(fair, "flood") == 13
    assert fair.counts().in_flight <= SLOTS


def test_the_fair_part_ends_when_nobody_was_refused_for_a_while() -> None:
    fair = shares()
    held = fill(fair, "flood", now_s=0.0)
    for _ in range(held):
        fair.release("flood")
    assert fill(fair, "small", now_s=0.9) == 13
    for _ in range(13):
        fair.release("small")
    assert fill(fair, "small", now_s=2.0) == SLOTS - 6


def test_what_is_refused_is_retryable_and_every_slot_comes_back() -> None:
    fair = shares()
    with pytest.raises(KeyError), fair.slot("acme", 0.0):
        raise KeyError
    assert (fair.counts().in_flight, fair.counts().tenants, fair.counts().admitted) == (0, 0, 1)
    assert Overloaded.retryable


def test_only_those_in_flight_and_the_last_refused_are_remembered() -> None:
    fair = shares()
    fill(fair, "flood")
    while fair.counts().in_flight < SLOTS:
        fair.take(f"small {fair.counts().in_flight}", 0.0)
    for index in range(2_000):
        with pytest.raises(Overloaded):
            fair.take(f"late {index}", 0.0)
    assert fair.counts().tenants <= SLOTS + 256


def p95_s(rates_per_s: dict[str, float], take: Callable[[str, float], None], release: Callable[[str], None]) -> float:
    """Return the p95 time until the tenant "small" is answered; refused, it comes again half a second later."""
    rng, order = random.Random(3), count()
    events: list[tuple[float, int, str, float | None]] = []
    for tenant, rate in rates_per_s.items():
        at_s = 0.0
        while (at_s := at_s + rng.expovariate(rate)) < RUN_S:
            heapq.heappush(events, (at_s, next(order), tenant, at_s))
    waits: list[float] = []
    while events:
        now_s, _, tenant, asked_at_s = heapq.heappop(events)
        if asked_at_s is None:
            release(tenant)
            continue
        try:
            take(tenant, now_s)
        except Overloaded:
            if tenant == "small":
                heapq.heappush(events, (now_s + 0.5, next(order), tenant, asked_at_s))
            continue
        ends_at_s = now_s + rng.lognormvariate(0.0, 0.3)
        heapq.heappush(events, (ends_at_s, next(order), tenant, None))
        if tenant == "small":
            waits.append(ends_at_s - asked_at_s)
    return quantiles(waits, n=20)[-1]


class Unfair:
    """The same slots, first come first served."""

    def __init__(self) -> None:
        self.in_flight = 0

    def take(self, tenant_id: str, now_s: float) -> None:
        if self.in_flight >= SLOTS:
            raise Overloaded()
        self.in_flight += 1

    def release(self, tenant_id: str) -> None:
        self.in_flight -= 1


def test_a_tenant_at_ten_times_its_rate_does_not_slow_another_down() -> None:
    alone, flooded, unfair = shares(), shares(), Unfair()
    rates = {"small": 4.0, "flood": 4.0}
    before_s = p95_s(rates, alone.take, alone.release)
    after_s = p95_s(rates | {"flood": 40.0}, flooded.take, flooded.release)
    assert after_s <= 1.2 * before_s
    assert flooded.counts().refused_unfair > 1_000
    assert p95_s(rates | {"flood": 40.0}, unfair.take, unfair.release) > 1.5 * before_s
