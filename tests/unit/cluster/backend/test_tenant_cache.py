"""A tenant is fetched once and cached, and stale tenants bridge an outage of the backend."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from cluster.backend import tenant_cache
from cluster.backend.factory import stale_s
from cluster.backend.tenant_cache import FAILURE_TTL_S, UNKNOWN_TTL_S, TenantCache
from cluster.config.settings import BackendSettings
from routing.errors import BackendRefused, BackendUnavailable, TenantUnknown
from routing.models import Tenant


@dataclass
class TenantBackend:
    """A backend that counts its calls, and fails on demand."""

    requests: list[str] = field(default_factory=list)
    down: bool = False
    name: str = "Acme"

    async def tenant(self, tenant_id: str) -> Tenant:
        self.requests.append(tenant_id)
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
def backend() -> TenantBackend:
    return TenantBackend()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(backend: TenantBackend, clock: Clock) -> TenantCache:
    return TenantCache(backend.tenant, ttl_s=30, stale_s=600, clock=clock)


async def test_concurrent_misses_share_one_request(cache: TenantCache, backend: TenantBackend) -> None:
    tenants = await asyncio.gather(*(cache.tenant("acme") for _ in range(50)))
    assert {tenant.name for tenant in tenants} == {"Acme"} and backend.requests == ["acme"]


async def test_a_cached_tenant_is_fetched_again_after_its_ttl(
    cache: TenantCache, backend: TenantBackend, clock: Clock
) -> None:
    await cache.tenant("acme")
    backend.name, clock.now_s = "Acme Inc", 29.0
    assert (await cache.tenant("acme")).name == "Acme"
    clock.now_s = 31.0
    assert (await cache.tenant("acme")).name == "Acme"
    await asyncio.sleep(0.01)
    assert (await cache.tenant("acme")).name == "Acme Inc" and backend.requests == ["acme", "acme"]


async def test_a_tenant_that_was_idle_for_long_is_read_anew_from_a_backend_that_answers(
    cache: TenantCache, backend: TenantBackend, clock: Clock
) -> None:
    await cache.tenant("acme")
    backend.name, clock.now_s = "Acme Inc", 300.0
    assert (await cache.tenant("acme")).name == "Acme Inc"


async def test_a_backend_that_never_answers_costs_no_request_of_a_known_tenant_its_timeout(clock: Clock) -> None:
    requests: list[str] = []
    silent = asyncio.Event()

    async def fetch(tenant_id: str) -> Tenant:
        requests.append(tenant_id)
        if len(requests) > 1:
            await silent.wait()
        return await TenantBackend().tenant(tenant_id)

    cache = TenantCache(fetch, ttl_s=30, stale_s=600, clock=clock)
    await cache.tenant("acme")
    async with asyncio.timeout(10):
        for now_s in (31.0, 32.0, 61.0, 300.0, 599.0):
            clock.now_s = now_s
            assert all([(await cache.tenant("acme")).name == "Acme" for _ in range(20)])
            await asyncio.sleep(0)
    assert requests == ["acme", "acme"]
    silent.set()
    await asyncio.sleep(0.01)
    assert (await cache.tenant("acme")).name == "Acme" and len(requests) == 2


async def test_a_silent_backend_is_tried_once_in_two_seconds_whatever_the_number_of_requests(
    cache: TenantCache, backend: TenantBackend, clock: Clock
) -> None:
    backend.down = True
    for second in range(8):
        clock.now_s = second / 2
        for number in range(50):
            with pytest.raises(BackendUnavailable):
                await cache.tenant(f"tenant-{number}")
    assert len(backend.requests) == 2
    backend.down = False
    clock.now_s += FAILURE_TTL_S
    assert (await cache.tenant("acme")).name == "Acme"


async def test_a_record_that_the_backend_refuses_delays_no_other_tenant(clock: Clock) -> None:
    requests: list[str] = []

    async def fetch(tenant_id: str) -> Tenant:
        requests.append(tenant_id)
        if tenant_id == "odd":
            raise BackendRefused("The record has no plan.")
        return await TenantBackend().tenant(tenant_id)

    cache = TenantCache(fetch, ttl_s=30, stale_s=600, clock=clock)
    for _ in range(3):
        with pytest.raises(BackendRefused, match="no plan"):
            await cache.tenant("odd")
    assert (await cache.tenant("acme")).name == "Acme" and requests == ["odd", "acme"]


async def test_so_many_tenants_are_fetched_at_once_and_no_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_cache, "MAX_FETCHES", 3)
    silent = asyncio.Event()

    async def fetch(tenant_id: str) -> Tenant:
        await silent.wait()
        raise TenantUnknown()

    cache = TenantCache(fetch, ttl_s=30, stale_s=600, clock=clock)
    waiting = [asyncio.create_task(cache.tenant(f"tenant-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(BackendUnavailable):
        await cache.tenant("one-more")
    silent.set()
    assert all(isinstance(error, TenantUnknown) for error in await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_stale_tenant_is_served_during_an_outage_until_its_limit(
    cache: TenantCache, backend: TenantBackend, clock: Clock
) -> None:
    await cache.tenant("acme")
    backend.down, clock.now_s = True, 599.0
    assert (await cache.tenant("acme")).name == "Acme"
    clock.now_s = 601.0
    with pytest.raises(BackendUnavailable):
        await cache.tenant("acme")


async def test_an_unknown_tenant_is_cached_for_seconds(
    cache: TenantCache, backend: TenantBackend, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(TenantUnknown):
            await cache.tenant("nobody")
    assert backend.requests == ["nobody"]
    clock.now_s = UNKNOWN_TTL_S + 1
    with pytest.raises(TenantUnknown):
        await cache.tenant("nobody")
    assert len(backend.requests) == 2


async def test_a_cancelled_caller_does_not_cancel_the_shared_request(cache: TenantCache) -> None:
    cancelled, pending = (asyncio.create_task(cache.tenant("acme")) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert (await pending).name == "Acme"


async def test_no_more_tenants_are_cached_than_the_limit(
    backend: TenantBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_cache, "MAX_TENANTS", 2)
    cache = TenantCache(backend.tenant, ttl_s=30, stale_s=600, clock=clock)
    for name in ("acme", "nobody", "no one", "acme"):
        with suppress(TenantUnknown):
            await cache.tenant(name)
    assert backend.requests == ["acme", "nobody", "no one", "acme"]


@pytest.mark.parametrize("when_silent", ["open", "closed"])
async def test_the_setting_decides_whether_a_longer_outage_refuses_a_known_tenant(when_silent: str) -> None:
    settings = BackendSettings.model_validate({"when_silent": when_silent})
    backend, clock = TenantBackend(), Clock()
    cache = TenantCache(backend.tenant, ttl_s=30, stale_s=stale_s(settings), clock=clock)
    await cache.tenant("acme")
    backend.down, clock.now_s = True, settings.tenant_stale_s + 86_400
    if when_silent == "open":
        assert (await cache.tenant("acme")).name == "Acme"
    else:
        with pytest.raises(BackendUnavailable):
            await cache.tenant("acme")
    # Of a tenant that was never read no budget is known: both refuse it.
    with pytest.raises(BackendUnavailable):
        await cache.tenant("globex")
