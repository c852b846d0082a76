"""The real `openai` client at the gateway's routes, and models with scripted answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import openai
import pytest

from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from tests.support.credentials import room_token
from tests.support.scripted_replica import ScriptedReplica


@pytest.fixture
def models() -> ScriptedReplica:
    return ScriptedReplica()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client with a room's token that validates each response against its types."""
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(build_routes(gateway)), base_url="http://router")
    async with openai.AsyncOpenAI(
        api_key=room_token(),
        base_url="http://router/v1",
        http_client=http,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client
