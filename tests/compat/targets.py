"""The servers that the clients and suites of `make compat` are run against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.lab.emulator import Emulator
from deployments.common.settings import ServiceSettings, VendorSettings
from tests.support.credentials import room_token
from tests.support.gateway import SIMULATED, gateway_in_process, served

MODEL = "gpt-6-luna"
TOKEN_TTL_S = 3_600.0
"""The longest part of a run is openai-python's own suite; it takes some minutes on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that speaks OpenAI's API. `base_url` ends in `/v1`, without a slash behind it."""

    name: str
    base_url: str
    key: str = field(repr=False)
    model: str

    def environment(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.key, "OPENAI_MODEL": self.model}


@asynccontextmanager
async def simulated_app(directory: Path) -> AsyncIterator[Target]:
    """Yield the app with simulated vendors."""
    async with gateway_in_process(directory) as (gateway, _), served(gateway) as url:
        yield _app("app, simulated vendors", url)


@asynccontextmanager
async def emulated_app(directory: Path) -> AsyncIterator[Target]:
    """Yield the app whose OpenAI adapter sends to the emulator."""
    settings = ServiceSettings(simple=(MODEL,), complex=("gpt-6.1-sol",))
    async with Emulator().running() as emulator:
        openai = VendorSettings.model_validate({"api": "openai", "base_url": emulator.base_urls()["openai"]})
        running = gateway_in_process(directory, vendors=SIMULATED | {"openai": openai}, llm=settings)
        async with running as (gateway, _), served(gateway) as url:
            yield _app("app, emulated OpenAI", url)


@asynccontextmanager
async def emulated_openai() -> AsyncIterator[Target]:
    """Yield the emulator's own OpenAI routes.

    The model is one that does not think: OpenAI's chat route refuses tools for a thinking model without effort `none`,
    which the suites do not send.
    """
    async with Emulator().running() as emulator:
        yield Target(name="emulator", base_url=emulator.base_urls()["openai"], key="any", model="gpt-4o")


def _app(name: str, url: str) -> Target:
    return Target(name=name, base_url=f"{url}/v1", key=room_token(ttl_s=TOKEN_TTL_S), model="simple")
