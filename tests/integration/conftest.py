"""The routes of a gateway in this process, and an HTTP client for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from tests.support.certificates import one_certificate
from tests.support.credentials import Bearer, room_token
from tests.support.gateway import InProcessCluster, gateway_in_process

__all__ = ["one_certificate"]


@pytest.fixture
async def gateway_and_cluster(tmp_path: Path) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    async with gateway_in_process(tmp_path) as both:
        yield both


@pytest.fixture
def gateway(gateway_and_cluster: tuple[Gateway, InProcessCluster]) -> Gateway:
    return gateway_and_cluster[0]


@pytest.fixture
def cluster(gateway_and_cluster: tuple[Gateway, InProcessCluster]) -> InProcessCluster:
    return gateway_and_cluster[1]


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_routes(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
        yield client


@pytest.fixture
def bearer() -> Bearer:
    """Return the headers that carry a room's token."""

    def headers(room: str = "tenant_acme_standup", ttl_s: float = 900, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {room_token(room, ttl_s)}", **more}

    return headers


MATRIX_STEP = 7
"""`make test` runs every seventh row of the fault matrix, `make matrix` all of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rows = [item for item in items if item.path.name == "test_fault_matrix.py"]
    for number, row in enumerate(rows):
        if number % MATRIX_STEP:
            row.add_marker("matrix")
