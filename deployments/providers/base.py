"""What any vendor can be asked, and which adapter asks it. Imports no vendor's SDK."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Protocol

from deployments.settings import SimulationSettings, VendorSettings
from routing.catalogue import Model
from routing.errors import ConfigurationError
from routing.messages import Answer, Ask, Delta, EmbedAsk, Embeddings


class Provider(Protocol):
    """One vendor. Every method makes one attempt, within the ask's time, and raises ProviderError."""

    async def answer(self, model: Model, ask: Ask) -> Answer: ...

    def stream(self, model: Model, ask: Ask) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it comes; the last delta carries `finish`, and `usage` where the vendor told."""

    async def embed(self, model: Model, ask: EmbedAsk) -> Embeddings: ...

    def warm_up(self) -> None:
        """Pay for lazy imports now rather than in the first request."""

    async def aclose(self) -> None: ...


def connect(name: str, vendor: VendorSettings, simulation: SimulationSettings) -> Provider:
    """Return the adapter of one vendor row; imports its SDK only now. Raises ConfigurationError."""
    if vendor.simulated:
        from deployments.providers.simulated import SimulatedProvider

        return SimulatedProvider(simulation)
    if vendor.api == "openai":
        from deployments.providers.openai import OpenAIProvider

        return OpenAIProvider(api_key=_key(name, vendor), base_url=vendor.base_url)
    raise ConfigurationError(
        f"vendors.{name}: the {vendor.api} adapter is not part of this release; set simulated: true.", f"vendors.{name}"
    )


def served_name(model: Model, simulated: bool) -> str:
    """Return the name an answer and its bill carry: nobody can take a simulated answer for a real one."""
    return f"simulated/{model.name}" if simulated else model.name


def check_vendor(name: str, vendor: VendorSettings) -> None:
    """Raise ConfigurationError for a vendor row that could not be connected."""
    if vendor.simulated:
        return
    if vendor.api != "openai":
        connect(name, vendor, SimulationSettings())
    _key(name, vendor)


def _key(name: str, vendor: VendorSettings) -> str:
    key = os.environ.get(vendor.api_key_env or "", "")
    if not key and vendor.api_key_env is not None:
        raise ConfigurationError(
            f"vendors.{name}.api_key_env: the environment has no {vendor.api_key_env}."
            " Export it where the replicas run, or set simulated: true.",
            f"vendors.{name}.api_key_env",
        )
    return key or "none"
