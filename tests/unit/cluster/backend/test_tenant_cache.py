"""A tenant is fetched once and cached, and stale tenants bridge an outage of the backend."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from cluster.backend import tenant_cache
from cluster.backend.tenant_cache import UNKNOWN_TTL_S, TenantCache
from routing.errors import BackendUnavailable, TenantUnknown
from routing.models import Tenant


@dataclass
class Source:
    """A backend that counts its calls, and fails on demand."""

    asked: list[str] = field(default_factory=list)
    down: bool = False
    name: str = "Acme"

    async def tenant(self, tenant_id: str) -> Tenant:
        self.asked.append(tenant_id)
        await asyncio.sleep(0)
        if self.down:
            raise BackendUnavailable()
        if tenant_id != "acme":
            raise TenantUnknown()
        return Tenant(
            tenant_id="acme", name=self.name, plan="pro", active=True, budget_nanousd=None, requests_per_minute=None
        )


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(source: Source, clock: Clock) -> TenantCache:
    return TenantCache(source.tenant, ttl_s=30, stale_s=600, clock=clock)


async def test_many_who_ask_at_once_are_one_question(cache: TenantCache, source: Source) -> None:
    found = await asyncio.gather(*(cache.tenant("acme") for _ in range(50)))
    assert {tenant.name for tenant in found} == {"Acme"} and source.asked == ["acme"]


async def test_an_answer_is_good_for_its_time_and_then_asked_anew(
    cache: TenantCache, source: Source, clock: Clock
) -> None:
    await cache.tenant("acme")
    source.name, clock.now_s = "Acme Inc", 29.0
    assert (await cache.tenant("acme")).name == "Acme"
    clock.now_s = 31.0
    assert (await cache.tenant("acme")).name == "Acme Inc"


async def test_an_outage_is_bridged_for_a_while_and_no_longer(cache: TenantCache, source: Source, clock: Clock) -> None:
    await cache.tenant("acme")
    source.down, clock.now_s = True, 599.0
    assert (await cache.tenant("acme")).name == "Acme"
    clock.now_s = 601.0
    with pytest.raises(BackendUnavailable):
        await cache.tenant("acme")


async def test_an_unknown_tenant_is_remembered_for_seconds_only(
    cache: TenantCache, source: Source, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(TenantUnknown):
            await cache.tenant("nobody")
    assert source.asked == ["nobody"]
    clock.now_s = UNKNOWN_TTL_S + 1
    with pytest.raises(TenantUnknown):
        await cache.tenant("nobody")
    assert len(source.asked) == 2


async def test_one_who_leaves_does_not_take_the_answer_from_the_others(cache: TenantCache) -> None:
    leaving, staying = (asyncio.create_task(cache.tenant("acme")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).name == "Acme"


async def test_no_more_tenants_are_cached_than_the_limit(
    source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_cache, "MAX_TENANTS", 2)
    cache = TenantCache(source.tenant, ttl_s=30, stale_s=600, clock=clock)
    for name in ("acme", "nobody", "no one", "acme"):
        with suppress(TenantUnknown):
            await cache.tenant(name)
    assert source.asked == ["acme", "nobody", "no one", "acme"]
