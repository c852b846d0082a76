"""Cache tenants, so that a frame costs no backend request, and serve stale ones during an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import FIFOCache

from routing.errors import BackendError, TenantUnknown
from routing.models import Tenant

UNKNOWN_TTL_S = 5.0
"""How long an unknown tenant stays cached: short, so that a new tenant works within seconds."""
MAX_TENANTS = 50_000


@dataclass(frozen=True, slots=True)
class _CachedTenant:
    tenant: Tenant | None
    cached_at_s: float


class TenantCache:
    """Serve a tenant for `ttl_s`, or for `stale_s` while the backend fails. Concurrent misses share one request."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Tenant]],
        ttl_s: float,
        stale_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._fetch_tenant = fetch
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._clock = clock
        self._cached: FIFOCache[str, _CachedTenant] = FIFOCache(MAX_TENANTS)
        self._fetching: dict[str, asyncio.Task[Tenant]] = {}

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant; raises TenantUnknown, or BackendError when no cached tenant is fresh enough."""
        cached = self._cached.get(tenant_id)
        age_s = self._clock() - cached.cached_at_s if cached else 0.0
        if cached and cached.tenant is None and age_s < UNKNOWN_TTL_S:
            raise TenantUnknown(param="tenant_id")
        if cached and cached.tenant is not None and age_s < self._ttl_s:
            return cached.tenant
        try:
            return await self._fetch_once(tenant_id)
        except BackendError:
            if cached and cached.tenant is not None and age_s < self._stale_s:
                return cached.tenant
            raise

    async def _fetch_once(self, tenant_id: str) -> Tenant:
        task = self._fetching.get(tenant_id)
        if task is None:
            task = self._fetching[tenant_id] = asyncio.create_task(self._fetch(tenant_id))
            task.add_done_callback(lambda done: self._task_done(tenant_id, done))
        # Shielded: one cancelled caller must not cancel the request for the others.
        return await asyncio.shield(task)

    def _task_done(self, tenant_id: str, done: asyncio.Task[Tenant]) -> None:
        self._fetching.pop(tenant_id, None)
        # Read the exception: when every caller has left, asyncio would log it as never retrieved.
        if not done.cancelled():
            done.exception()

    async def _fetch(self, tenant_id: str) -> Tenant:
        try:
            tenant = await self._fetch_tenant(tenant_id)
        except TenantUnknown:
            self._cached[tenant_id] = _CachedTenant(None, self._clock())
            raise
        self._cached[tenant_id] = _CachedTenant(tenant, self._clock())
        return tenant
