"""A tenant's rate holds over all router replicas together, and no request waits for the others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.aggregator.shared_rates import FORGOTTEN_AFTER_S, SharedRates
from deployments.gateway.rate_sharing import EVERY_S, RateSharing
from routing.errors import CostsUnavailable, RateLimited
from routing.models import Tenant
from routing.ratelimit import BURST_S, TakenRequests, TenantLimits
from tests.support.gateway import TENANTS
from tests.support.manual_clock import ManualClock

ACME = replace(TENANTS[0], requests_per_minute=60)
BURST = int(ACME.requests_per_minute or 0) / 60 * BURST_S


class Aggregator:
    """The aggregator of several replicas; silent on demand."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rates = SharedRates()
        self.silent = False
        self.calls = 0

    async def exchange(self, replica: str, taken: Sequence[TakenRequests]) -> Sequence[TakenRequests]:
        self.calls += 1
        if self.silent:
            raise CostsUnavailable
        return self.rates.exchange(replica, taken, self.clock())


class Replica:
    """The limits of one router replica."""

    def __init__(self, aggregator: Aggregator) -> None:
        self.clock = aggregator.clock
        self.limits, self.searches = TenantLimits(), TenantLimits(times=4.0)
        limits = {"requests": self.limits, "searches": self.searches}
        self.sharing = RateSharing(limits, aggregator.exchange, self.clock, EVERY_S)

    def admits(self, tenant: Tenant = ACME) -> bool:
        try:
            self.limits.take(tenant, self.clock())
        except RateLimited:
            return False
        return True


@pytest.fixture
def aggregator() -> Aggregator:
    return Aggregator(ManualClock(1_000.0))


@pytest.fixture
async def replicas(aggregator: Aggregator) -> list[Replica]:
    replicas = [Replica(aggregator), Replica(aggregator)]
    await share(replicas)
    return replicas


async def share(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        await replica.sharing.share()


async def admitted(replicas: Sequence[Replica], seconds: float, sent_each: int) -> int:
    """Return how many requests all replicas admit, each of them being sent `sent_each` in each exchange interval."""
    total, rng = 0, random.Random(7)
    for _ in range(round(seconds / EVERY_S)):
        total += sum(replica.admits() for replica in replicas for _ in range(sent_each))
        for replica in rng.sample(list(replicas), len(replicas)):
            await replica.sharing.share()
        replicas[0].clock.now_s += EVERY_S
    return total


@pytest.mark.parametrize("sent_each", [1, 5, 100])
async def test_two_replicas_admit_a_rate_and_a_burst_as_one_does(replicas: list[Replica], sent_each: int) -> None:
    total = await admitted(replicas, 60.0, sent_each)
    assert 60 <= total <= 60 + BURST + 1


async def test_a_steady_use_of_the_rate_is_admitted_whole(replicas: list[Replica]) -> None:
    for second in range(120):
        assert replicas[second % 2].admits()
        await share(replicas)
        replicas[0].clock.now_s += 1.0


async def test_a_replica_that_a_tenant_reaches_late_has_the_count_of_the_others(replicas: list[Replica]) -> None:
    assert sum(replicas[0].admits() for _ in range(100)) == BURST
    await share([*replicas, *replicas])
    assert not replicas[1].admits()
    with pytest.raises(RateLimited) as refused:
        replicas[1].limits.take(ACME, replicas[1].clock())
    assert refused.value.retry_after_s == pytest.approx(1.0) and refused.value.facts["remaining"] == 0


async def test_requests_count_against_their_own_limit_only(replicas: list[Replica]) -> None:
    replicas[0].searches.take(ACME, 1_000.0)
    await share([*replicas, *replicas])
    assert (replicas[1].searches.buckets["acme"].tokens, "acme" in replicas[1].limits.buckets) == (4 * BURST - 1, False)


async def test_while_the_aggregator_is_silent_each_replica_limits_alone(
    aggregator: Aggregator, replicas: list[Replica]
) -> None:
    aggregator.silent = True
    for replica in replicas:
        assert sum(replica.admits() for _ in range(100)) == BURST
        with pytest.raises(CostsUnavailable):
            await replica.sharing.share()
    aggregator.silent = False
    await share([*replicas, *replicas])
    # What was reported to nobody is not counted later: it is as old as the outage.
    assert replicas[0].limits.buckets["acme"].tokens == 0


async def test_a_hundred_requests_share_one_call(aggregator: Aggregator, replicas: list[Replica]) -> None:
    before = aggregator.calls
    for _ in range(100):
        replicas[0].admits()
    await replicas[0].sharing.share()
    assert aggregator.calls == before + 1


async def test_a_stopped_replica_is_forgotten(aggregator: Aggregator, replicas: list[Replica]) -> None:
    aggregator.clock.now_s += FORGOTTEN_AFTER_S + 1
    await replicas[0].sharing.share()
    assert len(aggregator.rates.replicas) == 1
