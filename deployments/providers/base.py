"""What any vendor can be asked, and which adapter asks it. Imports no vendor's SDK."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Protocol

from deployments.common.settings import SimulationSettings, VendorSettings
from routing.catalogue import Model
from routing.errors import ConfigurationError
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest
from routing.vendor_keys import read_key

THINKING_TOKENS = 1_024
SPEECH = ("deepgram", "elevenlabs")
"""What the room agent asks, with keys of its own environment."""


class Provider(Protocol):
    """One vendor. Every method makes one attempt, within the ask's time, and raises ProviderError."""

    async def answer(self, model: Model, ask: ModelRequest) -> Answer: ...

    def stream(self, model: Model, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it comes; the last delta carries `finish`, and `usage` where the vendor told."""

    async def embed(self, model: Model, ask: EmbedRequest) -> EmbeddingResult: ...

    def warm_up(self) -> None:
        """Pay now, on the loop the requests will run on, for what the first of them would else wait for."""

    async def aclose(self) -> None: ...


def connect(name: str, vendor: VendorSettings, simulation: SimulationSettings) -> Provider:
    """Return the adapter of one vendor row; imports its SDK only now. Raises ConfigurationError."""
    if vendor.simulated:
        from deployments.providers.simulated import SimulatedProvider

        return SimulatedProvider(simulation)
    if vendor.api in SPEECH:
        raise ConfigurationError(f"vendors.{name}.api: {vendor.api} is asked by the room agent.", f"vendors.{name}.api")
    return _connect_real(vendor, _key(name, vendor))


def _connect_real(vendor: VendorSettings, key: str) -> Provider:
    if vendor.api == "openai":
        from deployments.providers.openai import OpenAIProvider
        from deployments.providers.openai_sdk import OpenAISdk

        return OpenAIProvider(OpenAISdk(key, vendor.base_url), vendor.output_limit_field)
    if vendor.api == "openai-compatible":
        from deployments.providers.openai import OpenAIProvider
        from deployments.providers.openai_http import OpenAIWire

        return OpenAIProvider(OpenAIWire(key, vendor.base_url or ""), vendor.output_limit_field)
    if vendor.api == "anthropic":
        from deployments.providers.anthropic import AnthropicProvider

        return AnthropicProvider(key, vendor.base_url)
    if vendor.api == "gemini":
        from deployments.providers.gemini import GeminiProvider

        return GeminiProvider(key, vendor.base_url, vendor.api_version)
    from deployments.providers.voyage import VoyageProvider

    return VoyageProvider(key, vendor.base_url)


def served_name(model: Model, simulated: bool) -> str:
    """Return the name an answer and its bill carry: nobody can take a simulated answer for a real one."""
    return f"simulated/{model.name}" if simulated else model.name


def system_text(ask: ModelRequest) -> str:
    """Return what an ask's system messages say, for the vendors that take it beside the conversation."""
    return "\n\n".join(message.text for message in ask.messages if message.role == "system" and message.text)


def thinks(ask: ModelRequest) -> bool:
    """Tell whether an ask leaves room to think: thinking counts against the limit, and eats a short answer whole."""
    return ask.max_output_tokens >= THINKING_TOKENS


def check_vendor(name: str, vendor: VendorSettings) -> None:
    """Raise ConfigurationError for a vendor row that could not be connected."""
    if not vendor.simulated and vendor.api not in SPEECH:
        _key(name, vendor)


def _key(name: str, vendor: VendorSettings) -> str:
    key = read_key(os.environ, vendor.api_key_env) if vendor.api_key_env else ""
    if not key and vendor.api_key_env is not None:
        raise ConfigurationError(
            f"vendors.{name}.api_key_env: the environment has no {vendor.api_key_env}."
            " Export it where the replicas run, or set simulated: true.",
            f"vendors.{name}.api_key_env",
        )
    return key or "none"
