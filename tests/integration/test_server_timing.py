"""An answer says in Server-Timing how much of its time was the vendors'; a router says what its breakers did."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from deployments.common.settings import SimulationSettings
from deployments.gateway.failover import CandidateQueue
from deployments.model_replica import ModelReplica
from deployments.routes import build_routes
from routing.breaker import Breakers, BreakerSettings
from routing.catalogue import load_catalogue
from routing.errors import ProviderOverloaded
from routing.retry import RetrySettings
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import FAST, SIMULATED, gateway_in_process, jpeg

HELLO = {"model": "simple", "messages": [{"role": "user", "content": "Hello"}]}


def quarters() -> ModelReplica:
    """A leaf whose clock is a quarter of a second later at each look."""
    ticks = count()
    return ModelReplica(SIMULATED, FAST, load_catalogue(), clock=lambda: next(ticks) / 4)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_in_process(tmp_path, leaf=quarters()) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            yield client


async def test_a_frame_says_how_long_its_vendor_took(http: httpx.AsyncClient, bearer: Bearer) -> None:
    answered = await http.post("/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS))
    assert answered.headers["server-timing"] == "vendor;dur=250.0"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_turn_says_how_long_its_vendor_took_to_its_first_piece(
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
    # The answer's own leg took no time on its clock: what is left is the one that failed.
    assert float(answered.headers["server-timing"].removeprefix("vendor;dur=")) > 0


class Heard:
    """Signals in a list."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def breaker_turned(self, model: str, to: str) -> None:
        self.said.append(("breaker", model, to))

    def fell_back(self, model: str, to: str) -> None:
        self.said.append(("fallback", model, to))


async def test_a_fallback_and_a_turn_of_a_breaker_are_signals() -> None:
    heard, rng, catalogue = Heard(), random.Random(7), load_catalogue()
    weak, other = catalogue.get("gpt-6-luna"), catalogue.get("gemini-3.5-flash-lite")
    breakers = Breakers(rng, BreakerSettings(failures=1))
    targets = CandidateQueue(RetrySettings(tries_of_target=1), breakers, rng, lambda: 0.0, heard)
    run = targets.run([weak, other], 5, 30)
    first = await targets.next(run)
    assert first is not None
    run.error = ProviderOverloaded()
    targets.ended(first, run.error, 0.1)
    second = await targets.next(run)
    assert second is not None and second.model is other
    assert heard.said == [("breaker", weak.name, "open"), ("fallback", weak.name, other.name)]
    # The next request never asks the one that is open: it falls back at once.
    assert (turn := await targets.next(targets.run([weak, other], 5, 30))) is not None and turn.model is other
    assert heard.said[2:] == [("fallback", weak.name, other.name)]
