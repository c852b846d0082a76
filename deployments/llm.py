"""The deployment that asks language models. One attempt a call, whole or streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray import serve

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.model_replica import ModelReplica
from routing.catalogue import Catalogue
from routing.models import Answer, Delta, ModelRequest
from routing.process import freeze_startup_objects


@serve.deployment(name="llm")
class Llm:
    """Answers turns."""

    def __init__(
        self, vendors: dict[str, VendorSettings], simulation: SimulationSettings, catalogue: Catalogue
    ) -> None:
        self._leaf = ModelReplica(vendors, simulation, catalogue)
        self._leaf.warm_up()
        freeze_startup_objects()

    async def answer(self, ask: ModelRequest) -> Answer:
        return await self._leaf.answer(ask)

    async def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        async with aclosing(self._leaf.stream(ask)) as deltas:
            async for delta in deltas:
                yield delta

    async def ready(self) -> None:
        """Return: whoever hears it knows that a replica is there."""

    async def __del__(self) -> None:
        await self._leaf.aclose()
