"""Choose and build the adapter of a vendor row. A vendor's SDK is imported only where it is used."""

from __future__ import annotations

import os

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from routing.errors import ConfigurationError
from routing.vendor_keys import read_key

SPEECH = ("deepgram", "elevenlabs")
"""The vendors that the room agent calls, with keys of its own environment."""


def connect(name: str, vendor: VendorSettings, simulation: SimulationSettings) -> Provider:
    """Return the adapter of one vendor row, importing its SDK only now. Raises ConfigurationError."""
    if vendor.simulated:
        from deployments.providers.simulated import SimulatedProvider

        return SimulatedProvider(simulation)
    if vendor.api in SPEECH:
        raise ConfigurationError(
            f"vendors.{name}.api: {vendor.api} is called by the room agent, not by the app.", f"vendors.{name}.api"
        )
    return connect_real(vendor, _key(name, vendor))


def connect_real(vendor: VendorSettings, key: str) -> Provider:
    """Return the adapter of a vendor, whatever its row says of `simulated`."""
    if vendor.api == "openai":
        from deployments.providers.openai import OpenAIProvider
        from deployments.providers.openai_sdk import OpenAISdk

        return OpenAIProvider(OpenAISdk(key, vendor.base_url), vendor.output_limit_field, has_responses=True)
    if vendor.api == "openai-compatible":
        from deployments.providers.openai import OpenAIProvider
        from deployments.providers.openai_http import OpenAICompatibleHttp

        return OpenAIProvider(OpenAICompatibleHttp(key, vendor.base_url or ""), vendor.output_limit_field)
    if vendor.api == "anthropic":
        from deployments.providers.anthropic.adapter import AnthropicProvider

        return AnthropicProvider(key, vendor.base_url)
    if vendor.api == "gemini":
        from deployments.providers.gemini.adapter import GeminiProvider

        return GeminiProvider(key, vendor.base_url, vendor.api_version)
    from deployments.providers.voyage import VoyageProvider

    return VoyageProvider(key, vendor.base_url)


def check_vendor(name: str, vendor: VendorSettings) -> None:
    """Raise ConfigurationError if a vendor row lacks its key."""
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
