"""Cache tenants, so that a frame costs no backend request, and serve stale ones while they are fetched again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import FIFOCache

from routing.errors import BackendError, BackendUnavailable, TenantUnknown
from routing.models import Tenant

UNKNOWN_TTL_S = 5.0
"""How long an unknown tenant stays cached: short, so that a new tenant works within seconds."""
FAILURE_TTL_S = 2.0
"""How long a failure is remembered: a silent backend is tried once in this time, and every other request goes on."""
REFRESH_WAIT_S = 0.1
"""How long a request waits for news of a tenant that has been idle: a backend that works answers in it."""
MAX_TENANTS = 50_000
MAX_FETCHES = 256


@dataclass(frozen=True, slots=True)
class _CachedTenant:
    tenant: Tenant | None
    cached_at_s: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BackendError
    failed_at_s: float


class TenantCache:
    """Serve a tenant for `ttl_s`; after that at once too, while it is fetched again, for `stale_s` at most.

    Concurrent misses share one request.
    """

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
        self._failed: FIFOCache[str, _Failure] = FIFOCache(MAX_TENANTS)
        self._silent: _Failure | None = None
        self._fetching: dict[str, asyncio.Task[Tenant]] = {}

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant; raises TenantUnknown, or BackendError when no cached tenant is fresh enough."""
        cached = self._cached.get(tenant_id)
        age_s = self._clock() - cached.cached_at_s if cached else 0.0
        if cached is None or (cached.tenant is None and age_s >= UNKNOWN_TTL_S):
            return await self._fetched(tenant_id)
        if cached.tenant is None:
            raise TenantUnknown(param="tenant_id")
        if age_s < self._ttl_s:
            return cached.tenant
        if age_s >= self._stale_s:
            return await self._fetched(tenant_id)
        return await self._stale(tenant_id, cached.tenant, age_s)

    async def _stale(self, tenant_id: str, stale: Tenant, age_s: float) -> Tenant:
        """Return the stale tenant while it is fetched again; raises TenantUnknown where it is gone meanwhile.

        The first request of a tenant that was idle for long waits a moment, because its plan or budget may be another.
        """
        begun = tenant_id not in self._fetching
        try:
            fetching = self._fetch_once(tenant_id)
        except BackendError:
            return stale
        if begun and age_s >= 2 * self._ttl_s:
            await asyncio.wait({fetching}, timeout=REFRESH_WAIT_S)
        if not fetching.done() or isinstance(fetching.exception(), BackendError):
            return stale
        return fetching.result()

    async def _fetched(self, tenant_id: str) -> Tenant:
        # Shielded: one cancelled caller must not cancel the request for the others.
        return await asyncio.shield(self._fetch_once(tenant_id))

    def _fetch_once(self, tenant_id: str) -> asyncio.Task[Tenant]:
        """Return the running request for a tenant, begun if there is none; raises the error of one that just failed."""
        task = self._fetching.get(tenant_id)
        if task is None:
            self._raise_recent_failure(tenant_id)
            if len(self._fetching) >= MAX_FETCHES:
                raise BackendUnavailable("Too many tenants are being fetched.", retry_after_s=1.0)
            task = self._fetching[tenant_id] = asyncio.create_task(self._fetch(tenant_id))
            task.add_done_callback(lambda done: self._task_done(tenant_id, done))
        return task

    def _raise_recent_failure(self, tenant_id: str) -> None:
        for failure in (self._silent, self._failed.get(tenant_id)):
            if failure is not None and self._clock() - failure.failed_at_s < FAILURE_TTL_S:
                error = failure.error
                raise type(error)(error.message, error.param, error.retry_after_s or FAILURE_TTL_S)

    def _task_done(self, tenant_id: str, done: asyncio.Task[Tenant]) -> None:
        self._fetching.pop(tenant_id, None)
        # Read the exception: when every caller has left, asyncio would log it as never retrieved.
        if not done.cancelled():
            done.exception()

    async def _fetch(self, tenant_id: str) -> Tenant:
        try:
            tenant = await self._fetch_tenant(tenant_id)
        except TenantUnknown:
            self._store(tenant_id, None)
            raise
        except BackendError as error:
            failure = _Failure(error, self._clock())
            if isinstance(error, BackendUnavailable):
                self._silent = failure
            else:
                self._failed[tenant_id] = failure
            raise
        self._store(tenant_id, tenant)
        return tenant

    def _store(self, tenant_id: str, tenant: Tenant | None) -> None:
        self._silent = None
        self._cached[tenant_id] = _CachedTenant(tenant, self._clock())
