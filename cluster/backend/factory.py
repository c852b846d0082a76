"""Construct the configured backend: the company's tRPC server, or SQLite in its place."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.backend.base import Backend
from cluster.backend.refused_fields import RefusedFieldReports
from cluster.backend.sqlite import LocalBackend
from cluster.backend.tenant_cache import TenantCache
from cluster.backend.trpc import TrpcBackend
from cluster.config.settings import BackendSettings
from routing.errors import ConfigurationError
from routing.models import Passage, RefusedField, RefusedSource, Tenant
from routing.records.models import MeetingRecord, ReportAnswer
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool
from routing.units import NANOUSD_PER_USD


def check_backend(settings: BackendSettings, environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError when backend.url is set and the environment lacks its key."""
    if settings.url is not None and not environment.get(settings.key_env):
        raise ConfigurationError(
            f"backend.key_env: the environment has no {settings.key_env}, which {settings.url} needs; export it.",
            "backend.key_env",
        )


def connect_backend(settings: BackendSettings) -> Backend:
    """Return the backend without sending a request."""
    if settings.url is None:
        return LocalBackend(Path(settings.local_path), _local_tenants(settings))
    return TrpcBackend(
        url=settings.url,
        key=os.environ.get(settings.key_env, ""),
        transformer=settings.transformer,
        timeout_s=settings.timeout_s,
    )


class CachedDirectory:
    """The gateway's BackendDirectory with a cache of tenants. Each replica that unpickles it connects anew."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._backend = connect_backend(settings)
        self._refused = RefusedFieldReports(self._backend.report_refused, time.monotonic)
        self._tenants = TenantCache(self._fetch, settings.tenant_ttl_s, stale_s(settings), time.monotonic)

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedDirectory, (self._settings,)

    async def tenant(self, tenant_id: str) -> Tenant:
        return await self._tenants.tenant(tenant_id)

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        return await self._backend.search(tenant_id, query, embedding, top_k)

    async def tools(self, tenant_id: str) -> tuple[UncheckedTool, ...]:
        return await self._backend.tools(tenant_id)

    async def call_tool(self, call: ToolInvocation) -> ToolResult:
        return await self._backend.call_tool(call)

    async def report_record(self, record: MeetingRecord) -> ReportAnswer:
        return await self._backend.report_record(record)

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        return await self._backend.delete_records(tenant_id, meeting_id)

    def report_refused(self, tenant_id: str, source: RefusedSource, fields: Sequence[RefusedField]) -> None:
        self._refused.report(tenant_id, source, fields)

    async def _fetch(self, tenant_id: str) -> Tenant:
        tenant = await self._backend.tenant(tenant_id)
        if tenant.refused:
            self.report_refused(tenant_id, "record", tenant.refused)
        return tenant


def stale_s(settings: BackendSettings) -> float:
    """Return how long a tenant is served from the cache while the backend fails."""
    return math.inf if settings.when_silent == "open" else settings.tenant_stale_s


def _local_tenants(settings: BackendSettings) -> tuple[Tenant, ...]:
    return tuple(
        Tenant(
            tenant_id=tenant_id,
            name=tenant.name,
            plan=tenant.plan,
            active=tenant.active,
            budget_nanousd=_nanousd(tenant.budget_usd),
            requests_per_minute=tenant.requests_per_minute,
            daily_budget_nanousd=_nanousd(tenant.daily_budget_usd),
            room_budget_nanousd=_nanousd(tenant.room_budget_usd),
            time_zone=tenant.time_zone,
            budget_alerts=tenant.budget_alerts,
            tools=tenant.tools,
        )
        for tenant_id, tenant in settings.local_tenants.items()
    )


def _nanousd(usd: float | None) -> int | None:
    return None if usd is None else round(usd * NANOUSD_PER_USD)
