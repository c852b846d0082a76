"""Server-Timing holds the vendors' part of a response's time; breaker turns and fallbacks are counted."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from deployments.common.settings import SimulationSettings
from deployments.gateway.failover import Failover
from deployments.gateway.metering import BillingContext, Meter
from deployments.gateway.models import AttemptTimeouts, RoutedRequest
from deployments.model_replica import ModelReplica
from deployments.routes import build_routes
from routing.breaker import Breakers, BreakerSettings
from routing.catalogue import load_catalogue
from routing.errors import ProviderOverloaded
from routing.models import Tier, Usage
from routing.policy import Decision
from routing.retry import RetrySettings
from tests.integration.gateway.listed_metrics import ListedMetrics
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import FAST, SIMULATED, TENANTS, InProcessCluster, gateway_in_process, jpeg

HELLO = {"model": "simple", "messages": [{"role": "user", "content": "Hello"}]}


def quarter() -> ModelReplica:
    """A model replica whose clock advances by a quarter of a second after its first reading, and then stands."""
    readings = count()
    return ModelReplica(SIMULATED, FAST, load_catalogue(), clock=lambda: 0.25 if next(readings) else 0.0)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_in_process(tmp_path, leaf=quarter()) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            yield client


async def test_a_frames_response_has_the_time_of_its_vendor(http: httpx.AsyncClient, bearer: Bearer) -> None:
    answered = await http.post("/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS))
    assert answered.headers["server-timing"] == "vendor;dur=250.0"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_response_has_the_vendors_time_to_its_first_token(
    http: httpx.AsyncClient, bearer: Bearer, stream: bool
) -> None:
    answered = await http.post("/v1/chat/completions", json=HELLO | {"stream": stream}, headers=bearer())
    assert answered.status_code == 200
    assert answered.headers["server-timing"] == "vendor;dur=250.0"


async def test_the_time_of_a_vendor_that_failed_counts_too(tmp_path: Path, bearer: Bearer) -> None:
    fails = SimulationSettings(seed=7, speed=100, failures={"gpt-6-luna": 1.0})
    leaf = ModelReplica(SIMULATED, fails, load_catalogue(), clock=lambda: 0.0)
    async with gateway_in_process(tmp_path, leaf=leaf, retries=RetrySettings(tries_of_target=1)) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            answered = await client.post("/v1/chat/completions", json=HELLO, headers=bearer())
    assert answered.json()["rayroom"]["attempts"] == 2
    # The answer's own attempt took no time on its clock: the rest is the failed attempt's.
    assert float(answered.headers["server-timing"].removeprefix("vendor;dur=")) > 0


async def test_a_fallback_and_a_turn_of_a_breaker_are_counted(tmp_path: Path) -> None:
    metrics, rng, catalogue = ListedMetrics(), random.Random(7), load_catalogue()
    weak, other = catalogue.get("gpt-6-luna"), catalogue.get("gemini-3.5-flash-lite")
    cluster = InProcessCluster(tmp_path / "journal.db")
    meter = Meter(cluster, catalogue, frozenset(), 60.0, time.time)
    breakers = Breakers(rng, BreakerSettings(failures=1))
    failover = Failover(catalogue, meter, RetrySettings(tries_of_target=1), breakers, rng, time.monotonic, metrics)
    run = failover.attempts(routed(weak.name, other.name))
    async for candidate in run:
        async with candidate.attempt(Usage()):
            if candidate.model is weak:
                raise ProviderOverloaded()
        if not candidate.failed:
            break
    assert candidate.model is other
    assert metrics.counted == [("breaker", weak.name, "open"), ("fallback", weak.name, other.name)]
    # The next request skips the model whose breaker is open: it falls back at once.
    assert (await anext(failover.attempts(routed(weak.name, other.name)))).model is other
    assert metrics.counted[2:] == [("fallback", weak.name, other.name)]
    await cluster.aclose()


def routed(*models: str) -> RoutedRequest:
    return RoutedRequest(
        billing=BillingContext(tenant=TENANTS[0], room="tenant_acme_standup", service="llm"),
        decision=Decision(tier=Tier.SIMPLE, targets=models, score=0.1, threshold=0.5, reasons=()),
        messages=(),
        max_output_tokens=64,
        timeouts=AttemptTimeouts(attempt_s=5, first_token_s=5, between_tokens_s=5, total_s=30),
    )
