"""The deployment that asks embedding models. One attempt a call."""

from __future__ import annotations

from ray import serve

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.model_replica import Leaf
from routing.catalogue import Catalogue
from routing.gc_freeze import spare_what_stays
from routing.models import EmbedAsk
from routing.models import Embeddings as Vectors


@serve.deployment(name="embeddings")
class Embeddings:
    """Turns text and frames into vectors."""

    def __init__(
        self, vendors: dict[str, VendorSettings], simulation: SimulationSettings, catalogue: Catalogue
    ) -> None:
        self._leaf = Leaf(vendors, simulation, catalogue)
        self._leaf.warm_up()
        spare_what_stays()

    async def embed(self, ask: EmbedAsk) -> Vectors:
        return await self._leaf.embed(ask)

    async def ready(self) -> None:
        """Return: whoever hears it knows that a replica is there."""

    async def __del__(self) -> None:
        await self._leaf.aclose()
