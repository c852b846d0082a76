"""The ingress deployment: the gateway in a Serve replica, its leaves behind handles."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.api.auth import Keys
from deployments.gateway.metrics import ServeMetrics
from deployments.gateway.service import ClusterClient, Gateway, GatewaySettings, ModelHandles
from deployments.handles import ModelHandle, StartupCheck
from deployments.routes import build_routes
from routing.catalogue import Catalogue
from routing.models import Directory
from routing.process import configure_logs, freeze_startup_objects


@serve.deployment(name="router")
@serve.ingress()
class Router:
    """Checks, decides, asks, bills. Complexity, fallback and budgets are calls in this process, not hops."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: Keys,
        world: ClusterClient,
        directory: Directory,
        vision: DeploymentHandle[Any],
        llm: DeploymentHandle[Any],
        embeddings: DeploymentHandle[Any],
    ) -> None:
        configure_logs()
        leaves = ModelHandles(
            vision=ModelHandle(vision),
            llm=ModelHandle(llm),
            embeddings=ModelHandle(embeddings),
            started=StartupCheck({"vision": vision, "llm": llm, "embeddings": embeddings}),
        )
        self._gateway = Gateway(settings, catalogue, keys, leaves, world, directory, signals=ServeMetrics())
        freeze_startup_objects()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_routes(self._gateway)

    async def __del__(self) -> None:
        await self._gateway.aclose()
