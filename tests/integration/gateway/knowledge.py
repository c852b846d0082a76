"""A router whose knowledge searches end in a backend of the test's choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster.backend.base import Backend
from deployments.routes import build_routes
from routing.models import Passage
from tests.support.gateway import InProcessCluster, Tenants, gateway_in_process

SEARCH = "/v1/knowledge/search"
SECRET = "the vault opens at noon"


@dataclass
class Knowing(Tenants):
    """A directory that searches in a real backend."""

    backend: Backend | None = None

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        assert self.backend is not None
        return await self.backend.search(tenant_id, query, embedding, top_k)


@asynccontextmanager
async def knowledge_client(
    path: Path, backend: Backend, **changes: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, InProcessCluster]]:
    async with gateway_in_process(path, directory=Knowing(backend=backend), **changes) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            yield http, cluster
    await backend.aclose()
