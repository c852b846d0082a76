"""Token buckets: the rate of a sender, and the request rate of each tenant. Callers pass the time in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from cachetools import FIFOCache

from routing.errors import RateLimited
from routing.models import Tenant

BURST_S = 10.0
"""Seconds of its rate that a tenant may use at once: several rooms that open together are no flood."""
MAX_TENANTS = 50_000
"""Beyond this number the bucket used longest ago is dropped, and its tenant gets a full one."""


@dataclass(slots=True)
class TokenBucket:
    """A token bucket. Rate and capacity come with each call, because a tenant's plan may change between calls."""

    tokens: float
    filled_at_s: float

    def fill(self, now_s: float, per_s: float, capacity: float) -> None:
        """Add the tokens of the time since the last call, up to `capacity`; a clock that steps back adds none."""
        self.tokens = min(capacity, self.tokens + per_s * max(0.0, now_s - self.filled_at_s))
        self.filled_at_s = now_s

    def take(self, now_s: float, per_s: float, capacity: float, amount: float = 1.0) -> float:
        """Take `amount` tokens and return 0, or take none and return the seconds until the bucket holds that many."""
        self.fill(now_s, per_s, capacity)
        if self.tokens < amount:
            return (amount - self.tokens) / per_s
        self.tokens -= amount
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStanding:
    """A tenant's request rate, and its bucket after a request was taken from it."""

    limit_per_minute: int
    remaining: int
    """The requests that the tenant may send at once."""
    reset_s: float
    """Seconds until the bucket is full again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenRequests:
    """The requests of a tenant that one router replica admitted in a short time."""

    limit: str
    """The limit that counts them: a tenant has several."""
    tenant_id: str
    count: int
    per_s: float
    """The tenant's rate."""


@dataclass(slots=True)
class TenantLimits:
    """A token bucket for each tenant that has a rate, as one router replica counts them.

    The requests that other replicas admitted are counted afterwards, so that a bucket may hold less than nothing: over
    any longer time a tenant has its rate and one burst, however many replicas it reaches.
    """

    times: float = 1.0
    """The factor by which the rate of every tenant is multiplied here."""
    buckets: FIFOCache[str, TokenBucket] = field(default_factory=lambda: FIFOCache(MAX_TENANTS))
    taken: FIFOCache[str, TakenRequests] = field(default_factory=lambda: FIFOCache(MAX_TENANTS))
    """Those that this replica has not reported to the others."""

    def take(self, tenant: Tenant, now_s: float) -> RateStanding | None:
        """Take one request from the tenant's bucket; raises RateLimited with the seconds until the next.

        Returns the tenant's standing after it, or None for a tenant without a limit.
        """
        if tenant.requests_per_minute is None:
            return None
        per_s = self.times * tenant.requests_per_minute / 60
        capacity = max(1.0, per_s * BURST_S)
        bucket = self._bucket(tenant.tenant_id, capacity, now_s)
        wait_s = bucket.take(now_s, per_s, capacity)
        standing = RateStanding(
            limit_per_minute=round(60 * per_s),
            remaining=max(0, int(bucket.tokens)),
            reset_s=(capacity - bucket.tokens) / per_s,
        )
        if wait_s > 0:
            raise RateLimited(retry_after_s=wait_s, **asdict(standing))
        before = self.taken.get(tenant.tenant_id)
        count = 1 + (before.count if before else 0)
        self.taken[tenant.tenant_id] = TakenRequests(limit="", tenant_id=tenant.tenant_id, count=count, per_s=per_s)
        return standing

    def drain(self, limit: str) -> list[TakenRequests]:
        """Return the requests that were admitted here since the last call, under the name of this limit."""
        taken = [replace(one, limit=limit) for one in self.taken.values()]
        self.taken.clear()
        return taken

    def count(self, taken: TakenRequests, now_s: float) -> None:
        """Take the requests that another replica admitted, even where the bucket does not hold as many."""
        capacity = max(1.0, taken.per_s * BURST_S)
        bucket = self._bucket(taken.tenant_id, capacity, now_s)
        bucket.fill(now_s, taken.per_s, capacity)
        bucket.tokens -= taken.count

    def _bucket(self, tenant_id: str, capacity: float, now_s: float) -> TokenBucket:
        bucket = self.buckets.get(tenant_id) or TokenBucket(capacity, now_s)
        self.buckets[tenant_id] = bucket
        return bucket
