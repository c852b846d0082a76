"""A token bucket fills at its rate up to its capacity and returns the time to wait."""

from __future__ import annotations

import pytest

from routing import ratelimit
from routing.errors import RateLimited
from routing.models import Tenant
from routing.ratelimit import RateStanding, TenantLimits, TokenBucket
from tests.support.gateway import TENANTS

(SLOW,) = [tenant for tenant in TENANTS if tenant.tenant_id == "slow"]


def test_a_full_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, 0.0)
    waits_s = [bucket.take(now_s, per_s=0.5, capacity=2.0) for now_s in (0.0, 0.0, 0.0, 1.0, 2.0)]
    assert waits_s == [0.0, 0.0, 2.0, 1.0, 0.0]


def test_a_rejected_request_takes_no_tokens() -> None:
    bucket = TokenBucket(3.0, 0.0)
    assert bucket.take(0.0, per_s=1.0, capacity=3.0, amount=5.0) == pytest.approx(2.0)
    assert bucket.take(0.0, per_s=1.0, capacity=3.0, amount=3.0) == 0.0


def test_an_idle_bucket_holds_no_more_than_its_capacity() -> None:
    bucket = TokenBucket(0.0, 0.0)
    bucket.fill(1_000.0, per_s=1.0, capacity=4.0)
    assert bucket.tokens == 4.0


def test_a_clock_that_steps_back_adds_no_tokens() -> None:
    bucket = TokenBucket(1.0, 10.0)
    bucket.fill(5.0, per_s=1.0, capacity=4.0)
    assert bucket.tokens == 1.0


def test_a_tenant_reads_its_standing_with_each_request_and_with_the_refusal() -> None:
    limits = TenantLimits(times=10.0)
    standings = [limits.take(SLOW, now_s) for now_s in (0.0, 0.0, 1.0)]
    assert standings == [
        RateStanding(limit_per_minute=60, remaining=9, reset_s=1.0),
        RateStanding(limit_per_minute=60, remaining=8, reset_s=2.0),
        RateStanding(limit_per_minute=60, remaining=8, reset_s=2.0),
    ]
    for _ in range(8):
        limits.take(SLOW, 1.0)
    with pytest.raises(RateLimited) as refused:
        limits.take(SLOW, 1.0)
    assert refused.value.retry_after_s == 1.0
    assert refused.value.facts == {"limit_per_minute": 60, "remaining": 0, "reset_s": 10.0}


def test_a_tenant_without_a_rate_has_no_standing() -> None:
    assert TenantLimits().take(TENANTS[0], 0.0) is None


def test_the_tenant_that_was_away_longest_loses_its_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "MAX_TENANTS", 2)
    limits = TenantLimits()
    for name in ("acme", "globex", "acme", "initech"):
        limits.take(
            Tenant(tenant_id=name, name=name, plan="pro", active=True, budget_nanousd=None, requests_per_minute=60), 0.0
        )
    assert set(limits.buckets) == {"acme", "initech"}
