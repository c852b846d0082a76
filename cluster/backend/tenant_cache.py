"""Remembers tenants for a while, so that a frame does not cost a question. Serves old answers through an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from routing.errors import BackendError, TenantUnknown
from routing.models import Tenant

UNKNOWN_TTL_S = 5.0
MAX_REMEMBERED = 50_000


class TenantSource(Protocol):
    async def tenant(self, tenant_id: str) -> Tenant: ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    tenant: Tenant | None
    at_s: float


class TenantCache:
    """Answers from memory for `ttl_s`, and for `stale_s` while the backend fails; asks once for many waiting."""

    def __init__(self, source: TenantSource, ttl_s: float, stale_s: float, clock: Callable[[], float]) -> None:
        self._source = source
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}
        self._asking: dict[str, asyncio.Task[Tenant]] = {}

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant; raises TenantUnknown, or BackendError when nothing is remembered that may be served."""
        known = self._remembered.get(tenant_id)
        age_s = self._clock() - known.at_s if known else 0.0
        if known and known.tenant is None and age_s < UNKNOWN_TTL_S:
            raise TenantUnknown(param="tenant_id")
        if known and known.tenant is not None and age_s < self._ttl_s:
            return known.tenant
        try:
            return await self._ask(tenant_id)
        except BackendError:
            if known and known.tenant is not None and age_s < self._stale_s:
                return known.tenant
            raise

    async def _ask(self, tenant_id: str) -> Tenant:
        task = self._asking.get(tenant_id)
        if task is None:
            task = self._asking[tenant_id] = asyncio.create_task(self._fetch(tenant_id))
            task.add_done_callback(lambda done: self._asked(tenant_id, done))
        # Shielded, so that one caller who leaves does not take the answer from the others.
        return await asyncio.shield(task)

    def _asked(self, tenant_id: str, done: asyncio.Task[Tenant]) -> None:
        self._asking.pop(tenant_id, None)
        if not done.cancelled():
            done.exception()

    async def _fetch(self, tenant_id: str) -> Tenant:
        try:
            tenant = await self._source.tenant(tenant_id)
        except TenantUnknown:
            self._remember(tenant_id, None)
            raise
        self._remember(tenant_id, tenant)
        return tenant

    def _remember(self, tenant_id: str, tenant: Tenant | None) -> None:
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[tenant_id] = _Remembered(tenant, self._clock())
