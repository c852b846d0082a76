"""Every vendor's adapter connected to one emulator, and the requests sent through them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from cluster.lab.emulator import Emulator, Fault, LoggedRequest
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.capabilities import accepted_options, effort_of, thinking_tokens
from routing.catalogue import Model, load_catalogue
from routing.chat import ChatOptions, Image, Message
from routing.errors import (
    ProviderAuth,
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.models import Answer, Delta, ModelRequest, Usage
from tests.support.gateway import jpeg

CATALOGUE = load_catalogue()
VENDORS = {
    "openai": ("/openai/v1", "gpt-6-luna"),
    "openai-compatible": ("/openai/v1", "gpt-6-luna"),
    "anthropic": ("/anthropic", "claude-sonnet-5-5"),
    "gemini": ("/gemini", "gemini-3.5-flash-lite"),
}
EACH_VENDOR = pytest.mark.parametrize("vendor", VENDORS)
ATTEMPT_S = 30.0
EACH_METHOD = pytest.mark.parametrize("method", ["answer", "stream"])


@dataclass
class ConnectedAdapters:
    """Every vendor's adapter, connected to one emulator."""

    emulator: Emulator
    providers: dict[str, Provider] = field(default_factory=dict)

    def provider(self, vendor: str, url: str | None = None) -> Provider:
        if vendor not in self.providers:
            path = VENDORS[vendor][0] if vendor in VENDORS else "/voyage/v1"
            settings = VendorSettings.model_validate(
                {"api": vendor, "api_key_env": "VENDOR_KEY", "base_url": url or self.emulator.url + path}
            )
            self.providers[vendor] = connect(vendor, settings, SimulationSettings())
            self.providers[vendor].warm_up()
        return self.providers[vendor]

    async def send(self, vendor: str, method: str, request: ModelRequest) -> Answer:
        provider, model = self.provider(vendor), model_of(vendor)
        if method == "answer":
            return await provider.answer(model, request)
        deltas = [delta async for delta in provider.stream(model, request)]
        return joined_answer(model, deltas)


def joined_answer(model: Model, deltas: list[Delta]) -> Answer:
    *deltas_with_text, last = deltas
    assert last.finish is not None and all(delta.finish is None and delta.text for delta in deltas_with_text)
    return Answer(
        text="".join(delta.text for delta in deltas),
        model=model.name,
        finish=last.finish,
        usage=last.usage,
        service_tier=last.service_tier,
    )


def model_of(vendor: str) -> Model:
    return CATALOGUE.get(VENDORS[vendor][1])


def model_request(
    vendor: str, max_output_tokens: int = 64, timeout_s: float = 5.0, between_s: float | None = None
) -> ModelRequest:
    rules = model_of(vendor).capabilities
    options = accepted_options(vendor, rules, ChatOptions(temperature=0.2), drop=True)
    effort = effort_of(rules, options)
    return ModelRequest(
        model=VENDORS[vendor][1],
        messages=(
            Message(role="system", content=("Describe what you see.",)),
            Message(
                role="user",
                content=(
                    "Look here.",
                    Image(data=jpeg()),
                    Image(data=jpeg(320, 180)),
                ),
            ),
            Message(role="assistant", content=("I see it.",)),
            Message(role="user", content=("What is on the screen?",)),
        ),
        max_output_tokens=max_output_tokens,
        effort=effort,
        thinking_tokens=thinking_tokens(rules, effort),
        options=options,
        timeout_s=timeout_s,
        between_tokens_timeout_s=between_s,
    )


def charged_usage(request: LoggedRequest) -> Usage:
    """Return the usage that the emulator charges for a request, in the router's terms."""
    return Usage(
        input_tokens=request.prompt_tokens,
        cached_input_tokens=request.cached_tokens,
        cache_write_tokens=request.cache_write_5m_tokens + request.cache_write_1h_tokens,
        output_tokens=request.completion_tokens,
        thinking_tokens=request.thinking_tokens,
    )


def billed_usage(usage: Usage | None) -> Usage:
    """Return a usage without the informative fields: Anthropic does not report image tokens."""
    assert usage is not None
    return Usage(**usage.nonzero() | {"image_tokens": 0})


@asynccontextmanager
async def connected_adapters() -> AsyncIterator[ConnectedAdapters]:
    """Yield the adapters of every vendor. Their key is read from VENDOR_KEY."""
    async with Emulator().running() as emulator:
        adapters = ConnectedAdapters(emulator)
        yield adapters
        for provider in adapters.providers.values():
            await provider.aclose()


async def collect(deltas: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in deltas]


async def disconnect_noticed_at_s(adapters: ConnectedAdapters) -> float:
    """Return the time at which the emulator noticed the disconnect of its client."""
    await wait_until(lambda: adapters.emulator.journal[0].disconnected_at_s is not None)
    at_s = adapters.emulator.journal[0].disconnected_at_s
    assert at_s is not None
    return at_s


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 the emulator has no event to wait on
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class FaultCase:
    """A fault, and the error that the adapter must raise for it."""

    fault: Fault
    kind: type[ProviderError]
    phase: str
    retry_after_s: float | None = None


FAULT_CASES = {
    "rate limit": FaultCase(Fault(status=429, retry_after_s=7.0), ProviderRateLimited, "first_token", 7.0),
    "a long wait": FaultCase(Fault(status=429, retry_after_s=7_200.0), ProviderRateLimited, "first_token", 60.0),
    "bad key": FaultCase(Fault(status=401), ProviderAuth, "first_token"),
    "not allowed": FaultCase(Fault(status=403), ProviderAuth, "first_token"),
    "bad request": FaultCase(Fault(status=400), ProviderRefused, "first_token"),
    "no such model": FaultCase(Fault(status=404), ProviderMisconfigured, "first_token"),
    "too large": FaultCase(Fault(status=413), ProviderContextTooLong, "first_token"),
    "server error": FaultCase(Fault(status=500), ProviderOverloaded, "first_token"),
    "overloaded": FaultCase(Fault(status=503, retry_after_s=3.0), ProviderOverloaded, "first_token", 3.0),
    "gateway's time": FaultCase(Fault(status=504), ProviderOverloaded, "first_token"),
    "page of HTML": FaultCase(Fault(html=True), ProviderOverloaded, "first_token"),
    "no JSON": FaultCase(Fault(garbage=True), ProviderTruncated, "parse"),
    "silence": FaultCase(Fault(delay_s=5.0), ProviderTimeout, "first_token"),
    "reset at once": FaultCase(Fault(reset_after_bytes=0), ProviderUnreachable, "first_token"),
    "reset in the body": FaultCase(Fault(reset_after_bytes=20), ProviderUnreachable, "first_token"),
    "overload at once": FaultCase(Fault(overload_after_chunks=0), ProviderOverloaded, "first_token"),
}
INPUTS = (Message(role="user", content=("one two",)), Message(role="user", content=("three",)))
