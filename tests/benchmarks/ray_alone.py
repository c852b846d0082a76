"""Two deployments, one of which calls the other, to measure the cost of Ray Serve itself. For benchmarks only."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import Response

from tests.benchmarks.upstream import WHOLE


@serve.deployment(name="leaf")
class Leaf:
    """Sends a constant answer."""

    async def answer(self, body: bytes) -> bytes:
        return WHOLE


@serve.deployment(name="ingress")
class Ingress:
    """Reads a request, calls the leaf and returns its answer."""

    def __init__(self, leaf: DeploymentHandle[Any]) -> None:
        self._leaf = leaf

    async def __call__(self, request: Request) -> Response:
        return Response(await self._leaf.answer.remote(await request.body()), media_type="application/json")


def build(_: dict[str, Any]) -> Application:
    """Return the application, which ignores rayroom's configuration."""
    options: dict[str, Any] = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0.1}}
    leaf = Leaf.options(max_ongoing_requests=64, **options).bind()  # type: ignore[attr-defined]
    ingress: Application = Ingress.options(max_ongoing_requests=512, **options).bind(leaf)  # type: ignore[attr-defined]
    return ingress
