"""The deployment that asks embedding models. One attempt a call."""

from __future__ import annotations

from ray import serve

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.model_replica import ModelReplica
from routing.catalogue import Catalogue
from routing.models import EmbeddingResult, EmbedRequest
from routing.process import freeze_startup_objects


@serve.deployment(name="embeddings")
class Embeddings:
    """Turns text and frames into vectors."""

    def __init__(
        self, vendors: dict[str, VendorSettings], simulation: SimulationSettings, catalogue: Catalogue
    ) -> None:
        self._leaf = ModelReplica(vendors, simulation, catalogue)
        self._leaf.warm_up()
        freeze_startup_objects()

    async def embed(self, ask: EmbedRequest) -> EmbeddingResult:
        return await self._leaf.embed(ask)

    async def ready(self) -> None:
        """Return: whoever hears it knows that a replica is there."""

    async def __del__(self) -> None:
        await self._leaf.aclose()
