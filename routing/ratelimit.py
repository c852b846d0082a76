"""Says whether a tenant may ask now, and if not, when. The clock comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.errors import RateLimited
from routing.models import Tenant

BURST_S = 10.0
"""A tenant may spend ten seconds of its rate at once: a join of several rooms is not a flood."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_s: float


@dataclass(slots=True)
class TenantLimits:
    """A token bucket for each tenant that has a rate; one router replica's view of it."""

    times: float = 1.0
    """How many times its rate a tenant may ask here."""
    buckets: dict[str, _Bucket] = field(default_factory=dict)

    def take(self, tenant: Tenant, now_s: float) -> None:
        """Take one request from the tenant's bucket; raises RateLimited with the time until the next."""
        if tenant.requests_per_minute is None:
            return
        rate = self.times * tenant.requests_per_minute / 60
        capacity = max(1.0, rate * BURST_S)
        bucket = self.buckets.setdefault(tenant.tenant_id, _Bucket(capacity, now_s))
        bucket.tokens = min(capacity, bucket.tokens + rate * (now_s - bucket.filled_at_s))
        bucket.filled_at_s = now_s
        if bucket.tokens < 1:
            raise RateLimited(retry_after_s=(1 - bucket.tokens) / rate)
        bucket.tokens -= 1
