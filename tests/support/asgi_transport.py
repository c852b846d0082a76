"""Carries a room agent's requests to an ASGI app in this process, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from room_agent.core.router_transport import RouterResponse


class AsgiTransport:
    """A RouterTransport to the routes of an app."""

    def __init__(self, app: Any) -> None:
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://router")

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> RouterResponse:
        response = await self._http.request(method, path, headers=headers, content=body, timeout=timeout_s)
        return RouterResponse(response.status_code, response.headers, response.content)
