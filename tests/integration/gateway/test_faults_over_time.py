"""Vendor faults and cancellations over time: open breakers, probes, retry waits, closed vendor calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from cluster.lab.emulator import Fault
from deployments.gateway.models import RoutedAnswer
from routing.billing.charges import MOST_UNDER_WAY_S
from routing.billing.usage_means import UsageMeans
from routing.breaker import BreakerSettings
from routing.errors import Overloaded, ProviderTimeout
from routing.fairness import FairnessSettings
from routing.models import Delta
from routing.retry import RetrySettings
from tests.integration.gateway.fault_bench import (
    CHAT,
    QUESTION,
    TOKEN,
    Bench,
    charged,
    ended,
    gateway,
    is_near,
    price_of,
)
from tests.integration.gateway.fault_table import ROUTES, SHORT, Route, Timers
from tests.support.credentials import room_token
from tests.support.gateway import InProcessCluster, chat_stream, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG, ONCE = Timers(), RetrySettings(tries_of_target=1)
# One slot for a tenant, one reserved for a tenant without requests.
ONE_SLOT = FairnessSettings(slots=2)
AT_ONCE_S = 2.0
"""Far below the nine seconds for which the vendor would still be silent, also on a busy machine."""
OPEN_S = 0.8
BREAKERS = BreakerSettings(failures=3, open_s=OPEN_S, jitter_share=0.0)


def routes(*hows: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", [route for route in ROUTES if route.how in hows], ids=str)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with Bench.running(tmp_path_factory.mktemp("bench")) as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="module")
async def bench(shared: Bench) -> Bench:
    return await shared.fresh()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not true():  # noqa: ASYNC110 the emulator has no event to wait on
            await asyncio.sleep(0.002)


async def noticed_after_s(bench: Bench, left_at_s: float) -> float:
    """Return the seconds from `left_at_s` until the vendor saw its client disconnect."""
    await until(lambda: bench.emulator.journal[0].disconnected_at_s is not None)
    gone_at_s = bench.emulator.journal[0].disconnected_at_s
    assert gone_at_s is not None and len(bench.emulator.journal) == 1
    return gone_at_s - left_at_s


async def bill(cluster: InProcessCluster) -> tuple[object, object, bool]:
    """Return the one attempt's outcome, whether it is an estimate, and whether it costs anything."""
    (row,) = await cluster.events()
    return row["outcome"], row["estimated"], bool(row["cost_nanousd"])


@routes("streamed")
@pytest.mark.parametrize("how", ["closes", "is cancelled"])
async def test_a_reader_who_leaves_a_stream_ends_the_vendor_call_and_is_billed_for_the_received_tokens(
    how: str, route: Route, bench: Bench
) -> None:
    bench.emulator.plan(Fault(stall_after_chunks=1, stall_s=9.0))
    async with gateway(bench, (route.model, route.after), LONG, fairness=ONE_SLOT) as (router, cluster):
        pieces = await chat_stream(router, TOKEN, CHAT)
        first = await anext(pieces)
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.05)
        left_at_s = time.time()
        waiting.cancel()
        await asyncio.wait({waiting})
        if how == "closes":
            await pieces.aclose()
        assert await noticed_after_s(bench, left_at_s) < AT_ONCE_S
        (row,) = await cluster.events()
        assert (await ended(router, route.how)).how == "stop"
    assert isinstance(first, Delta) and (row["outcome"], row["estimated"]) == ("cancelled", 1)
    # The text of at most one second is taken to have been under way.
    told = charged(bench.emulator.journal[0])
    under_way = replace(told, output_tokens=told.output_tokens + int(MOST_UNDER_WAY_S * UsageMeans().bytes_per_s / 3))
    cost_nanousd = int(str(row["cost_nanousd"]))
    assert is_near(cost_nanousd, route.model, told) or cost_nanousd > price_of(route.model).cost_nanousd(told)
    assert cost_nanousd <= price_of(route.model).cost_nanousd(under_way)


@routes("whole", "frame", "embedding")
async def test_a_caller_who_leaves_ends_the_vendor_call_and_is_billed_an_estimate(route: Route, bench: Bench) -> None:
    bench.emulator.plan(Fault(delay_s=9.0))
    async with gateway(bench, (route.model, route.after), LONG, fairness=ONE_SLOT) as (router, cluster):
        call = asyncio.create_task(ended(router, route.how))
        await until(lambda: len(bench.emulator.journal) == 1)
        left_at_s = time.time()
        call.cancel()
        assert await noticed_after_s(bench, left_at_s) < AT_ONCE_S
        await asyncio.wait({call})
        assert call.cancelled() and await bill(cluster) == ("cancelled", 1, True)
        assert (await ended(router, route.how)).how == "stop"


@routes("streamed")
async def test_a_dropped_connection_ends_the_vendor_call(route: Route, bench: Bench) -> None:
    bench.emulator.plan(Fault(stall_after_chunks=1, stall_s=9.0))
    body = {"model": "simple", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    headers = {"authorization": f"Bearer {room_token()}"}
    one = gateway(bench, (route.model, route.after), LONG, fairness=ONE_SLOT)
    async with one as (router, cluster), served(router) as url:
        async with aiohttp.ClientSession() as session:
            response = await session.post(f"{url}/v1/chat/completions", json=body, headers=headers)
            assert (await response.content.readline()).startswith(b"data: ")
            left_at_s = time.time()
            response.close()
        assert await noticed_after_s(bench, left_at_s) < AT_ONCE_S
        async with asyncio.timeout(3):
            while any("estimated" not in row for row in await cluster.events()):  # noqa: ASYNC110 a row is no event
                await asyncio.sleep(0.002)
        assert await bill(cluster) == ("cancelled", 1, True)
        async with asyncio.timeout(3):
            while (after := await ended(router, route.how)).how is Overloaded:  # noqa: ASYNC110 its slot is free soon
                await asyncio.sleep(0.002)
        assert after.how == "stop"


def calls(bench: Bench, model: str) -> int:
    return sum(seen.model == model for seen in bench.emulator.journal)


@routes("streamed", "embedding")
async def test_a_failing_vendor_gets_no_request_until_one_probe_succeeds(route: Route, bench: Bench) -> None:
    bench.emulator.plan(Fault(status=503), model=route.model, times=3)
    bench.emulator.plan(Fault(delay_s=0.2), model=route.model)
    targets = (route.model, route.after)
    async with gateway(bench, targets, LONG, breakers=BREAKERS, retries=ONCE) as (router, _):
        for _ in range(3):
            await ended(router, route.how)
        meanwhile = [await ended(router, route.how) for _ in range(5)]
        assert {end.model for end in meanwhile} == {route.after} and calls(bench, route.model) == 3
        await asyncio.sleep(OPEN_S)
        probing = await asyncio.gather(*(ended(router, route.how) for _ in range(5)))
        assert sorted(end.model == route.model for end in probing) == [False] * 4 + [True]
        assert calls(bench, route.model) == 4
        assert (await ended(router, route.how)).model == route.model


async def test_a_failed_probe_doubles_the_time_for_which_the_breaker_is_open(bench: Bench) -> None:
    route = ROUTES[0]
    bench.emulator.plan(Fault(status=503), model=route.model, times=4)
    targets = (route.model, route.after)
    async with gateway(bench, targets, LONG, breakers=BREAKERS, retries=ONCE) as (router, _):
        for wait_s, expected in ((0.0, 1), (0.0, 2), (0.0, 3), (OPEN_S, 4), (OPEN_S, 4), (OPEN_S, 5)):
            await asyncio.sleep(wait_s)
            assert (await ended(router, route.how)).how == "stop"
            assert calls(bench, route.model) == expected


# Each vendor's own form of Retry-After, to the tenth of a second.
LATER = {
    "openai": Fault(status=429, headers={"retry-after-ms": "300"}),
    "anthropic": Fault(status=429, headers={"retry-after": "0.3"}),
    "gemini": Fault(status=429, retry_after_s=0.3),
    "voyage": Fault(status=429, headers={"retry-after": "0.3"}),
}


@routes("whole", "streamed", "embedding")
async def test_a_retry_waits_for_the_vendors_retry_after(route: Route, bench: Bench) -> None:
    bench.emulator.plan(LATER[route.vendor])
    async with gateway(bench, (route.model,), LONG) as (router, _):
        assert (await ended(router, route.how)).how == "stop"
    refused, answered = bench.emulator.journal
    assert refused.answered_at_s is not None and answered.arrived_at_s - refused.answered_at_s >= 0.3


@routes("whole", "embedding")
async def test_a_breaker_stays_open_for_the_vendors_retry_after(route: Route, bench: Bench) -> None:
    brief = BreakerSettings(failures=3, open_s=0.05, jitter_share=0.0)
    bench.emulator.plan(LATER[route.vendor], model=route.model, times=3)
    targets = (route.model, route.after)
    async with gateway(bench, targets, LONG, breakers=brief, retries=ONCE) as (router, _):
        for _ in range(3):
            await ended(router, route.how)
        await asyncio.sleep(0.1)
        assert (await ended(router, route.how)).model == route.after and calls(bench, route.model) == 3
        await asyncio.sleep(0.3)
        assert (await ended(router, route.how)).model == route.model and calls(bench, route.model) == 4


@routes("whole", "streamed", "frame")
async def test_silent_vendors_keep_a_caller_no_longer_than_the_whole_request_may_take(
    route: Route, bench: Bench
) -> None:
    bench.emulator.plan(Fault(delay_s=30.0), times=9)
    a_second = replace(SHORT, attempt_s=1.0, first_token_s=1.0)
    async with gateway(bench, (route.model, route.after), a_second, total_timeout_s=2.4) as (router, _):
        began_s = time.monotonic()
        end = await ended(router, route.how)
    assert end.how is ProviderTimeout and time.monotonic() - began_s < 2.4 + 5.0
    assert 2 <= len(bench.emulator.journal) <= 3


@routes("streamed")
async def test_a_slow_reader_gets_the_whole_answer(route: Route, bench: Bench) -> None:
    async with gateway(bench, (route.model,), SHORT) as (router, cluster):
        async for piece in await chat_stream(router, TOKEN, CHAT):
            await asyncio.sleep(0 if isinstance(piece, RoutedAnswer) else 0.05)
        assert isinstance(piece, RoutedAnswer) and await bill(cluster) == ("ok", 0, True)
