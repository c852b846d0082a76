"""The adapters against llmock, a server for testing LLM clients that others wrote."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.catalogue import Model, load_catalogue
from routing.chat import Image, Message
from routing.errors import (
    ProviderAuth,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.models import Answer, Delta, ModelRequest
from tests.support.gateway import jpeg

START_S = 30.0
# llmock serves Gemini's API at /v1beta only; Google's SDK asks /v1 unless told otherwise.
VENDORS: dict[str, tuple[dict[str, Any], str]] = {
    "openai": ({"base_url": "/v1"}, "gpt-6-luna"),
    "anthropic": ({"base_url": "/anthropic"}, "claude-sonnet-5-5"),
    "gemini": ({"base_url": "/gemini", "api_version": "v1beta"}, "gemini-3.5-flash-lite"),
}


@pytest.fixture(scope="module")
def llmock_url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from llmock.cli import app; app()", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(url: str) -> None:
    for _ in range(int(START_S / 0.1)):
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError(f"llmock did not answer within {START_S} s")


@pytest.fixture
def peer(llmock_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=llmock_url) as client:
        client.post("/_llmock/reset").raise_for_status()
        yield client


@pytest.fixture(params=VENDORS)
async def asked(request: pytest.FixtureRequest, llmock_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    row, model = VENDORS[request.param]
    monkeypatch.setenv("PEER_KEY", "k")
    settings = {"api": request.param, "api_key_env": "PEER_KEY"} | row | {"base_url": llmock_url + row["base_url"]}
    provider = connect(request.param, VendorSettings(**settings), SimulationSettings())
    yield provider, load_catalogue().get(model)
    await provider.aclose()


def ask(model: Model, timeout_s: float = 5.0) -> ModelRequest:
    messages = (
        Message(role="system", content=("Be short.",)),
        Message(
            role="user",
            content=("What is on the screen?", Image(data=jpeg())),
        ),
    )
    return ModelRequest(model=model.name, messages=messages, max_output_tokens=64, timeout_s=timeout_s)


async def said(provider: Provider, model: Model, how: str, timeout_s: float = 5.0) -> Answer:
    if how == "answer":
        return await provider.answer(model, ask(model, timeout_s))
    deltas: list[Delta] = [delta async for delta in provider.stream(model, ask(model, timeout_s))]
    assert deltas[-1].finish is not None
    text = "".join(delta.text for delta in deltas)
    return Answer(text=text, model=model.name, finish=deltas[-1].finish, usage=deltas[-1].usage)


def behave(peer: httpx.Client, *behaviours: dict[str, Any]) -> None:
    peer.post("/_llmock/scenario", json={"behaviors": behaviours}).raise_for_status()


def attempts(peer: httpx.Client) -> int:
    return int(peer.get("/_llmock/requests").json()["count"])


async def test_an_answer_and_a_stream_say_the_same_and_cost_the_same(asked: Any, peer: httpx.Client) -> None:
    provider, model = asked
    whole, stream = await said(provider, model, "answer"), await said(provider, model, "stream")
    assert whole.text == stream.text != "" and whole.finish == stream.finish == "stop"
    assert whole.usage is not None and whole.usage == stream.usage
    assert whole.usage.input_tokens > 0 and whole.usage.output_tokens > 0


STATUSES: dict[int, type[ProviderError]] = {
    400: ProviderRefused,
    401: ProviderAuth,
    404: ProviderMisconfigured,
    429: ProviderRateLimited,
    500: ProviderOverloaded,
    503: ProviderOverloaded,
    529: ProviderOverloaded,
}


@pytest.mark.parametrize("how", ["answer", "stream"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_failure_is_ours_and_the_peer_finds_one_attempt(
    status: int, how: str, asked: Any, peer: httpx.Client
) -> None:
    kind = STATUSES[status]
    behave(peer, {"type": "fail", "status": status, "retry_after": 2.0 if kind.retryable else None})
    with pytest.raises(kind) as failed:
        provider, model = asked
        await said(provider, model, how)
    assert type(failed.value) is kind and failed.value.facts["vendor_status"] == status
    assert failed.value.retry_after_s == (2.0 if kind.retryable else None)
    assert attempts(peer) == 1


STREAM_FAULTS: dict[str, tuple[type[ProviderError], str]] = {
    "disconnect": (ProviderUnreachable, "stream"),
    "truncate": (ProviderTruncated, "stream"),
    "malformed": (ProviderTruncated, "parse"),
    "stall": (ProviderTimeout, "stream"),
}


@pytest.mark.parametrize("kind", STREAM_FAULTS)
async def test_a_broken_stream_is_an_error_and_never_an_answer(kind: str, asked: Any, peer: httpx.Client) -> None:
    fault = {"type": "stream_fault", "kind": kind, "after_chunks": 6, "stall_seconds": 5.0}
    behave(peer, {"type": "reply", "text": "a long answer " * 20}, fault)
    with pytest.raises(ProviderError) as failed:
        provider, model = asked
        await said(provider, model, "stream", timeout_s=1.0)
    assert (type(failed.value), failed.value.facts["phase"]) == STREAM_FAULTS[kind]
