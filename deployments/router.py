"""Deploy the gateway as the ingress: its model deployments are behind Serve handles."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.api.access.keys import KeySource
from deployments.gateway.metrics import ServeMetrics, router_instruments
from deployments.gateway.models import BackendDirectory, ClusterClient, GatewaySettings, ModelHandles
from deployments.gateway.service import Gateway
from deployments.handles import ModelHandle, ReplicaCheck
from deployments.routes import build_routes
from deployments.tools.assembly import tool_service
from routing.catalogue import Catalogue
from routing.process import configure_logs, freeze_startup_objects
from routing.telemetry.router_metrics import LOOP_TASKS
from routing.telemetry.trace_export import configure_tracing, flush_traces


@serve.deployment(name="router")
@serve.ingress()
class Router:
    """The gateway in a Serve replica. Complexity, fallback and budgets are calls in this process, not hops."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: KeySource,
        cluster: ClusterClient,
        directory: BackendDirectory,
        vision: DeploymentHandle[Any],
        llm: DeploymentHandle[Any],
        embeddings: DeploymentHandle[Any],
    ) -> None:
        configure_logs()
        # Read now, so that a replica without keys never starts.
        keys.current()
        leaves = {"vision": ModelHandle(vision), "llm": ModelHandle(llm), "embeddings": ModelHandle(embeddings)}
        handles = ModelHandles(**leaves, replicas=ReplicaCheck(leaves, settings.scaled_to_zero))
        self._instruments = router_instruments(settings, catalogue)
        self._instruments.repeat_gauges()
        metrics = ServeMetrics(self._instruments)
        configure_tracing("rayroom-router", metrics.spans_lost)
        self._gateway = Gateway(settings, catalogue, keys, handles, cluster, directory, metrics=metrics)
        self._tools = tool_service(self._gateway)
        freeze_startup_objects()

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Ray Serve adds an id to each response, and a client would receive two.
        return build_routes(self._gateway, request_ids=False, tools=self._tools)

    async def check_health(self) -> None:
        """Raise if this replica could serve no request; Serve replaces it then. It is called on the event loop."""
        self._instruments.set(LOOP_TASKS, len(asyncio.all_tasks()))
        self._gateway.check_health()

    async def __del__(self) -> None:
        # Ray Serve awaits this when it stops the replica.
        await self._gateway.aclose()
        await asyncio.to_thread(flush_traces)
