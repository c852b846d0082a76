"""Heartbeats return the budget status of the one ledger, from every router replica, at any time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from routing.catalogue import load_catalogue
from tests.integration.gateway.test_speech_bill import send_heartbeat, stt_usage
from tests.support.cost_entries import intent, settlement
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import KEYS, InProcessCluster, Tenants, gateway_in_process, jpeg

AGENT = {"authorization": f"Bearer {KEYS.agent[0]}"}
LIMIT_NANOUSD = 10_000_000
MS_NANOUSD = 80


@dataclass
class Routers:
    """Two router replicas of one cluster, with their shared costs and directory."""

    cluster: InProcessCluster
    gateways: tuple[Gateway, Gateway]
    directory: Tenants
    clients: list[httpx.AsyncClient]
    headers: dict[str, str]

    async def budget(self, *usage: dict[str, Any], router: int = 0) -> tuple[int, int]:
        budget = (await send_heartbeat(self.clients[router], self.headers, *usage)).json()["budget"]
        return budget["spent_nanousd"], budget["limit_nanousd"]


@pytest.fixture
async def routers(tmp_path: Path, bearer: Bearer) -> AsyncIterator[Routers]:
    directory = Tenants()
    directory.tenants["acme"] = replace(directory.tenants["acme"], budget_nanousd=LIMIT_NANOUSD)
    async with AsyncExitStack() as stack:
        one, cluster = await stack.enter_async_context(gateway_in_process(tmp_path, directory=directory))
        other = Gateway(one.settings, load_catalogue(), KEYS, one._handles, cluster, directory)
        transports = [httpx.ASGITransport(build_routes(gateway)) for gateway in (one, other)]
        clients = [httpx.AsyncClient(transport=transport, base_url="http://router") for transport in transports]
        for client in clients:
            await stack.enter_async_context(client)
        yield Routers(cluster, (one, other), directory, clients, bearer())


async def test_a_budget_that_is_spent_is_there_again_when_the_month_turns(routers: Routers) -> None:
    assert await routers.budget(stt_usage(audio_ms=200_000)) == (200_000 * MS_NANOUSD, LIMIT_NANOUSD)
    assert await routers.budget() == (200_000 * MS_NANOUSD, LIMIT_NANOUSD)
    routers.cluster.clock = lambda: time.time() + 40 * 86_400
    # The heartbeat carries no usage: an agent whose budget is spent reports none.
    assert await routers.budget() == (0, LIMIT_NANOUSD)


async def test_two_routers_return_the_same_budget_to_a_room(routers: Routers) -> None:
    await routers.budget(stt_usage("s0", 1_000), router=0)
    await routers.budget(stt_usage("s1", 200_000), router=1)
    budget = [await routers.budget(router=number % 2) for number in range(4)]
    assert budget == [(201_000 * MS_NANOUSD, LIMIT_NANOUSD)] * 4


async def test_a_router_that_has_just_started_returns_the_spent_amount(routers: Routers) -> None:
    await routers.budget(stt_usage(audio_ms=200_000), router=0)
    assert await routers.budget(router=1) == (200_000 * MS_NANOUSD, LIMIT_NANOUSD)


async def test_an_estimate_is_not_returned_as_spent(routers: Routers) -> None:
    await routers.budget(stt_usage("s0", 80_000))
    await routers.cluster.reserve(intent(estimate_nanousd=3_000_000))
    assert await routers.budget(stt_usage("s1", 10_000)) == (90_000 * MS_NANOUSD, LIMIT_NANOUSD)
    await routers.cluster.settle(settlement(cost_nanousd=100_000))
    assert await routers.budget() == (90_000 * MS_NANOUSD + 100_000, LIMIT_NANOUSD)


async def test_a_room_has_the_status_of_its_tightest_budget_from_its_opening_on(routers: Routers) -> None:
    acme = routers.directory.tenants["acme"]
    routers.directory.tenants["acme"] = replace(
        acme, budget_nanousd=10**9, daily_budget_nanousd=5 * 10**8, room_budget_nanousd=8_000_000
    )
    await routers.budget(stt_usage(audio_ms=100_000))
    opening = {"room": "tenant_acme_standup", "job_id": "j2", "metadata": '{"tenant_id": "acme"}'}
    opened = await routers.clients[1].post("/v1/rooms", json=opening, headers=AGENT)
    assert opened.json()["budget"] == {"spent_nanousd": 8_000_000, "limit_nanousd": 8_000_000, "kind": "room"}
    frame = await routers.clients[0].post("/v1/frames", content=jpeg(), headers=routers.headers | FRAME_HEADERS)
    error = frame.json()["error"]
    assert frame.status_code == 402 and (error["budget"], error["remaining_nanousd"]) == ("room", 0)
    # Another room of the tenant has its own budget, and the day's is the tightest there.
    other = await routers.clients[0].post("/v1/rooms", json=opening | {"room": "tenant_acme_other"}, headers=AGENT)
    assert other.json()["budget"]["kind"] == "daily"


async def test_a_tenants_rate_holds_over_both_routers(routers: Routers, bearer: Bearer) -> None:
    frame: dict[str, Any] = {"content": jpeg(), "headers": bearer("tenant_slow_x", **FRAME_HEADERS)}
    for gateway in routers.gateways:
        await gateway._rates.share()
    statuses = [(await routers.clients[0].post("/v1/frames", **frame)).status_code]
    for gateway in routers.gateways:
        await gateway._rates.share()
    response = await routers.clients[1].post("/v1/frames", **frame)
    assert [*statuses, response.status_code] == [200, 429] and 9 <= float(response.headers["retry-after"]) <= 10
    for gateway in routers.gateways:
        await gateway._rates.aclose()


async def test_a_raised_limit_is_returned_with_the_next_heartbeat(routers: Routers) -> None:
    await routers.budget(stt_usage(audio_ms=200_000))
    acme = routers.directory.tenants["acme"]
    routers.directory.tenants["acme"] = replace(acme, budget_nanousd=2 * LIMIT_NANOUSD)
    assert await routers.budget() == (200_000 * MS_NANOUSD, 2 * LIMIT_NANOUSD)
