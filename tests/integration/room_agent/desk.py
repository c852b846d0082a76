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
from routing.catalogue import Model, load_catalogue
from routing.chat import ChatOptions, Effort, Image, Message
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
EFFORTS: dict[str, Effort] = {"openai": "none", "openai-compatible": "none"}
"""The effort at which a vendor's model does not think, where the vendor would otherwise let it."""
ALL = pytest.mark.parametrize("vendor", VENDORS)
ATTEMPT_S = 30.0
BOTH = pytest.mark.parametrize("how", ["answer", "stream"])


@dataclass
class Desk:
    """Every vendor's adapter, connected to one emulator."""

    emulator: Emulator
    providers: dict[str, Provider] = field(default_factory=dict)

    def provider(self, vendor: str, url: str | None = None) -> Provider:
        if vendor not in self.providers:
            path = VENDORS[vendor][0] if vendor in VENDORS else "/voyage/v1"
            row = VendorSettings.model_validate(
                {"api": vendor, "api_key_env": "VENDOR_KEY", "base_url": url or self.emulator.url + path}
            )
            self.providers[vendor] = connect(vendor, row, SimulationSettings())
            self.providers[vendor].warm_up()
        return self.providers[vendor]

    async def ask(self, vendor: str, how: str, an_ask: ModelRequest) -> Answer:
        provider, model = self.provider(vendor), model_of(vendor)
        if how == "answer":
            return await provider.answer(model, an_ask)
        deltas = [delta async for delta in provider.stream(model, an_ask)]
        return joined(model, deltas)


def joined(model: Model, deltas: list[Delta]) -> Answer:
    *pieces, last = deltas
    assert last.finish is not None and all(delta.finish is None and delta.text for delta in pieces)
    return Answer(
        text="".join(d.text for d in deltas),
        model=model.name,
        finish=last.finish,
        usage=last.usage,
        service_tier=last.service_tier,
    )


def model_of(vendor: str) -> Model:
    return CATALOGUE.get(VENDORS[vendor][1])


def ask(
    vendor: str, max_output_tokens: int = 64, timeout_s: float = 5.0, between_s: float | None = None
) -> ModelRequest:
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
        effort=EFFORTS.get(vendor),
        options=ChatOptions(temperature=0.2),
        timeout_s=timeout_s,
        between_tokens_timeout_s=between_s,
    )


def charged(seen: LoggedRequest) -> Usage:
    """Return the usage that the emulator charges for a request, in the router's terms."""
    return Usage(
        input_tokens=seen.prompt_tokens,
        cached_input_tokens=seen.cached_tokens,
        cache_write_tokens=seen.cache_write_5m_tokens + seen.cache_write_1h_tokens,
        output_tokens=seen.completion_tokens,
        thinking_tokens=seen.thinking_tokens,
    )


def billed(usage: Usage | None) -> Usage:
    """Return a usage without the informative fields: Anthropic does not report image tokens."""
    assert usage is not None
    return Usage(**usage.nonzero() | {"image_tokens": 0})


@asynccontextmanager
async def connected_desk() -> AsyncIterator[Desk]:
    """Yield a desk; its key is found in VENDOR_KEY."""
    async with Emulator().running() as emulator:
        desk = Desk(emulator)
        yield desk
        for provider in desk.providers.values():
            await provider.aclose()


async def all_of(deltas: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in deltas]


async def noticed_s(desk: Desk) -> float:
    """Return when the emulator noticed that its client had gone."""
    await until(lambda: desk.emulator.journal[0].disconnected_at_s is not None)
    at_s = desk.emulator.journal[0].disconnected_at_s
    assert at_s is not None
    return at_s


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not true():  # noqa: ASYNC110 the emulator has no event to wait on
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Case:
    """A fault, and the error it must become."""

    fault: Fault
    kind: type[ProviderError]
    phase: str
    retry_after_s: float | None = None


REFUSED = {
    "rate limit": Case(Fault(status=429, retry_after_s=7.0), ProviderRateLimited, "first_token", 7.0),
    "a long wait": Case(Fault(status=429, retry_after_s=7_200.0), ProviderRateLimited, "first_token", 60.0),
    "bad key": Case(Fault(status=401), ProviderAuth, "first_token"),
    "not allowed": Case(Fault(status=403), ProviderAuth, "first_token"),
    "bad request": Case(Fault(status=400), ProviderRefused, "first_token"),
    "no such model": Case(Fault(status=404), ProviderMisconfigured, "first_token"),
    "too large": Case(Fault(status=413), ProviderContextTooLong, "first_token"),
    "server error": Case(Fault(status=500), ProviderOverloaded, "first_token"),
    "overloaded": Case(Fault(status=503, retry_after_s=3.0), ProviderOverloaded, "first_token", 3.0),
    "gateway's time": Case(Fault(status=504), ProviderOverloaded, "first_token"),
    "page of HTML": Case(Fault(html=True), ProviderOverloaded, "first_token"),
    "no JSON": Case(Fault(garbage=True), ProviderTruncated, "parse"),
    "silence": Case(Fault(delay_s=5.0), ProviderTimeout, "first_token"),
    "reset at once": Case(Fault(reset_after_bytes=0), ProviderUnreachable, "first_token"),
    "reset in the body": Case(Fault(reset_after_bytes=20), ProviderUnreachable, "first_token"),
    "overload at once": Case(Fault(overload_after_chunks=0), ProviderOverloaded, "first_token"),
}
INPUTS = (Message(role="user", content=("one two",)), Message(role="user", content=("three",)))
