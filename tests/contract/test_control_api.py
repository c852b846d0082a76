"""The control API of a running emulator: plan faults, read its request log, reset it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cluster.lab.emulator import Emulator, EmulatorState, LatencyModel, VendorLoad

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "one secret word"}]}
KEY = {"Authorization": "Bearer very-secret"}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url, headers=KEY) as session:
        yield session


async def chat(http: aiohttp.ClientSession) -> int:
    async with http.post("/openai/v1/chat/completions", json=CHAT) as response:
        return response.status


async def test_a_fault_planned_over_http_applies_to_its_vendor_and_model(http: aiohttp.ClientSession) -> None:
    planned = {"fault": {"status": 503}, "vendor": "openai", "model": "m", "times": 2}
    async with http.post("/_emulator/faults", json=planned) as response:
        assert await response.json() == {"planned": 2}
    assert [await chat(http) for _ in range(3)] == [503, 503, 200]


async def test_the_journal_holds_counts_and_times_and_no_content(http: aiohttp.ClientSession) -> None:
    await chat(http)
    async with http.get("/_emulator/journal") as response:
        text = await response.text()
        (seen,) = (await response.json())["seen"]
    assert (seen["status"], seen["prompt_tokens"], seen["completion_tokens"]) == (200, 3, 24)
    assert seen["arrived_at_s"] <= seen["answered_at_s"] <= seen["ended_at_s"] and "secret" not in text


async def test_faults_and_journal_can_be_cleared(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    await chat(http)
    async with http.post("/_emulator/faults", json={"fault": {"status": 500}}):
        pass
    for path in ("/_emulator/faults", "/_emulator/journal"):
        async with http.delete(path) as response:
            assert response.status == 204
    assert len(emulator.faults) == len(emulator.journal) == 0


@pytest.mark.parametrize(
    "body", ["{", '{"fault": {"statsu": 500}}', '{"fault": {}, "times": 0}', '{"vendor": "openai"}']
)
async def test_an_invalid_plan_is_refused(http: aiohttp.ClientSession, body: str) -> None:
    async with http.post("/_emulator/faults", data=body) as response:
        error = (await response.json())["error"]
    assert response.status == 400 and error["type"] == "invalid_request_error"


async def test_latency_follows_the_profile_and_grows_with_the_load() -> None:
    slept_s: list[float] = []

    async def record_sleep(seconds: float) -> None:
        slept_s.append(seconds)

    state = EmulatorState(
        latency=LatencyModel(random.Random(1), speed=1.0),
        load=VendorLoad(free=0, capacity=1),
        sleep=record_sleep,
        answer_tokens=12,
    )
    async with Emulator(state).running() as emulator, aiohttp.ClientSession(emulator.url, headers=KEY) as http:
        await chat(http)
    delay_s, first_s, rest_s = slept_s
    assert delay_s == 0.0 and first_s > 0 and rest_s == pytest.approx(2 * 12 / 120)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": 7}', b"\xff"])
async def test_an_invalid_body_is_a_bad_request_on_each_route(http: aiohttp.ClientSession, body: bytes) -> None:
    paths = (
        "/openai/v1/chat/completions",
        "/openai/v1/embeddings",
        "/anthropic/v1/messages",
        "/gemini/v1/models/m:generateContent",
        "/voyage/v1/embeddings",
        "/voyage/v1/multimodalembeddings",
    )
    headers = {"x-goog-api-key": "k", "anthropic-version": "2026-10-21"}
    for path in paths:
        async with http.post(path, data=body, headers=headers) as response:
            assert (path, response.status) == (path, 400) and await response.json()
