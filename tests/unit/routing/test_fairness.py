"""A flood of requests from one tenant does not take the slots of other tenants."""

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
UNBOUNDED = float("inf")
RUN_S = 120.0


def new_fair_share(reserve_share: float = 0.2) -> FairShare:
    return FairShare(FairnessSettings(slots=SLOTS, reserve_share=reserve_share))


def fill(fair_share: FairShare, tenant_id: str, now_s: float = 0.0) -> int:
    """Take slots until one is refused; return their number."""
    for taken in count():
        try:
            fair_share.take(tenant_id, now_s)
        except Overloaded:
            return taken
    raise AssertionError


@pytest.mark.parametrize(
    ("demands", "level"),
    [
        ([UNBOUNDED], 12),
        ([UNBOUNDED, UNBOUNDED], 6),
        ([2, UNBOUNDED, UNBOUNDED], 5),
        ([1, 2, UNBOUNDED], 9),
        ([4, 4, 4], UNBOUNDED),
        ([5, 5, 5], 4),
        ([], UNBOUNDED),
    ],
)
def test_the_fair_level_meets_small_demands_and_splits_the_rest_equally(demands: list[float], level: float) -> None:
    assert fair_level(12, demands) == level


def test_a_tenant_alone_may_take_all_but_the_reserve() -> None:
    fair_share = new_fair_share()
    assert fill(fair_share, "acme") == SLOTS - 6
    assert fair_share.counts().refused_unfair == 1 and fair_share.counts().refused_full == 0


def test_a_new_tenant_gets_slots_during_a_flood_and_the_flood_is_cut_to_its_share() -> None:
    fair_share = new_fair_share()
    flood_slots = fill(fair_share, "flood")
    assert fill(fair_share, "small") >= 6
    for _ in range(flood_slots):
        fair_share.release("flood")
    assert fill(fair_share, "flood") == 13
    assert fair_share.counts().in_flight <= SLOTS


def test_the_fair_limit_ends_after_a_period_without_rejections() -> None:
    fair_share = new_fair_share()
    flood_slots = fill(fair_share, "flood", now_s=0.0)
    for _ in range(flood_slots):
        fair_share.release("flood")
    assert fill(fair_share, "small", now_s=0.9) == 13
    for _ in range(13):
        fair_share.release("small")
    assert fill(fair_share, "small", now_s=2.0) == SLOTS - 6


def test_a_slot_is_released_after_an_error_and_overload_is_retryable() -> None:
    fair_share = new_fair_share()
    with pytest.raises(KeyError), fair_share.slot("acme", 0.0):
        raise KeyError
    assert (fair_share.counts().in_flight, fair_share.counts().tenants, fair_share.counts().admitted) == (0, 0, 1)
    assert Overloaded.retryable


def test_state_is_kept_only_for_tenants_in_flight_and_recent_rejections() -> None:
    fair_share = new_fair_share()
    fill(fair_share, "flood")
    while fair_share.counts().in_flight < SLOTS:
        fair_share.take(f"small {fair_share.counts().in_flight}", 0.0)
    for index in range(2_000):
        with pytest.raises(Overloaded):
            fair_share.take(f"late {index}", 0.0)
    assert fair_share.counts().tenants <= SLOTS + 256


def p95_s(rates_per_s: dict[str, float], take: Callable[[str, float], None], release: Callable[[str], None]) -> float:
    """Return the p95 response time of the tenant "small", which retries half a second after each rejection."""
    rng, sequence = random.Random(3), count()
    events: list[tuple[float, int, str, float | None]] = []
    for tenant, rate in rates_per_s.items():
        at_s = 0.0
        while (at_s := at_s + rng.expovariate(rate)) < RUN_S:
            heapq.heappush(events, (at_s, next(sequence), tenant, at_s))
    waits: list[float] = []
    while events:
        now_s, _, tenant, requested_at_s = heapq.heappop(events)
        if requested_at_s is None:
            release(tenant)
            continue
        try:
            take(tenant, now_s)
        except Overloaded:
            if tenant == "small":
                heapq.heappush(events, (now_s + 0.5, next(sequence), tenant, requested_at_s))
            continue
        ends_at_s = now_s + rng.lognormvariate(0.0, 0.3)
        heapq.heappush(events, (ends_at_s, next(sequence), tenant, None))
        if tenant == "small":
            waits.append(ends_at_s - requested_at_s)
    return quantiles(waits, n=20)[-1]


class FirstComeFirstServed:
    """The same slots, assigned first come, first served."""

    def __init__(self) -> None:
        self.in_flight = 0

    def take(self, tenant_id: str, now_s: float) -> None:
        if self.in_flight >= SLOTS:
            raise Overloaded()
        self.in_flight += 1

    def release(self, tenant_id: str) -> None:
        self.in_flight -= 1


def test_a_tenant_at_ten_times_its_rate_does_not_slow_another_tenant() -> None:
    balanced, fair, first_come = new_fair_share(), new_fair_share(), FirstComeFirstServed()
    rates = {"small": 4.0, "flood": 4.0}
    before_s = p95_s(rates, balanced.take, balanced.release)
    after_s = p95_s(rates | {"flood": 40.0}, fair.take, fair.release)
    assert after_s <= 1.2 * before_s
    assert fair.counts().refused_unfair > 1_000
    assert p95_s(rates | {"flood": 40.0}, first_come.take, first_come.release) > 1.5 * before_s
