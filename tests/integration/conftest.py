"""The routes of a gateway in this process, and a client that speaks to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from deployments.api.auth import issue_token, sign
from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from routing.rooms import parse_room
from tests.integration.world import KEYS, JournalWorld, gateway_in_process

FRAME_HEADERS = {"content-type": "image/jpeg", "x-frame-captured-at": "1700000000.5", "x-frame-track": "TR_1"}
Bearer = Callable[..., dict[str, str]]


@pytest.fixture
async def gateway_and_world(tmp_path: Path) -> AsyncIterator[tuple[Gateway, JournalWorld]]:
    async with gateway_in_process(tmp_path) as both:
        yield both


@pytest.fixture
def gateway(gateway_and_world: tuple[Gateway, JournalWorld]) -> Gateway:
    return gateway_and_world[0]


@pytest.fixture
def world(gateway_and_world: tuple[Gateway, JournalWorld]) -> JournalWorld:
    return gateway_and_world[1]


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_routes(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
        yield client


def room_token(room: str = "tenant_acme_standup", ttl_s: float = 900) -> str:
    import time

    return sign(issue_token(parse_room(room), "job-1", ttl_s, time.time()), KEYS)


@pytest.fixture
def bearer() -> Bearer:
    """Return the headers that carry a room's token."""

    def headers(room: str = "tenant_acme_standup", ttl_s: float = 900, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {room_token(room, ttl_s)}", **more}

    return headers
