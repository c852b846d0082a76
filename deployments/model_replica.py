"""Makes one attempt at one model. What the three model deployments share; knows no tenant and no money."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.common.streaming import coalesce
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.catalogue import Catalogue
from routing.errors import ConfigurationError
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest
from routing.process import configure_logs


class ModelReplica:
    """The vendors of one deployment, each connected once and for the replica's life."""

    def __init__(
        self,
        vendors: dict[str, VendorSettings],
        simulation: SimulationSettings,
        catalogue: Catalogue,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        configure_logs()
        self._clock = clock
        self._catalogue = catalogue
        self._providers: dict[str, Provider] = {
            name: connect(name, vendor, simulation) for name, vendor in vendors.items()
        }

    def warm_up(self) -> None:
        """Bring every vendor's client to the state in which its first request is as fast as its second."""
        for provider in self._providers.values():
            provider.warm_up()

    async def answer(self, ask: ModelRequest) -> Answer:
        asked_s = self._clock()
        answer = await self._provider(ask.model).answer(self._catalogue.get(ask.model), ask)
        return replace(answer, vendor_s=self._clock() - asked_s)

    async def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        asked_s, heard = self._clock(), False
        deltas = self._provider(ask.model).stream(self._catalogue.get(ask.model), ask)
        async with aclosing(coalesce(deltas)) as joined:
            async for delta in joined:
                yield delta if heard else replace(delta, vendor_s=self._clock() - asked_s)
                heard = True

    async def embed(self, ask: EmbedRequest) -> EmbeddingResult:
        return await self._provider(ask.model).embed(self._catalogue.get(ask.model), ask)

    async def aclose(self) -> None:
        for provider in self._providers.values():
            await provider.aclose()

    def _provider(self, model: str) -> Provider:
        vendor = self._catalogue.get(model).vendor
        if vendor not in self._providers:
            raise ConfigurationError(f"vendors: {model} needs a row for {vendor}.", f"vendors.{vendor}")
        return self._providers[vendor]
