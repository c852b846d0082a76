"""The ingress deployment: the gateway in a Serve replica, its leaves behind handles."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.api.auth import Keys
from deployments.gateway.serve_signals import ServeSignals
from deployments.gateway.service import Gateway, GatewaySettings, Leaves, World
from deployments.handles import HandleLeaf, Started
from deployments.routes import build_routes
from routing.catalogue import Catalogue
from routing.gc_freeze import spare_what_stays
from routing.logs import configure_logs
from routing.models import Directory


@serve.deployment(name="router")
@serve.ingress()
class Router:
    """Checks, decides, asks, bills. Complexity, fallback and budgets are calls in this process, not hops."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: Keys,
        world: World,
        directory: Directory,
        vision: DeploymentHandle[Any],
        llm: DeploymentHandle[Any],
        embeddings: DeploymentHandle[Any],
    ) -> None:
        configure_logs()
        leaves = Leaves(
            vision=HandleLeaf(vision),
            llm=HandleLeaf(llm),
            embeddings=HandleLeaf(embeddings),
            started=Started({"vision": vision, "llm": llm, "embeddings": embeddings}),
        )
        self._gateway = Gateway(settings, catalogue, keys, leaves, world, directory, signals=ServeSignals())
        spare_what_stays()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_routes(self._gateway)

    async def __del__(self) -> None:
        await self._gateway.aclose()
