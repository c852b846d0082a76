"""Admit requests by their room token and their tenant's rate."""

from __future__ import annotations

from deployments.api.app import BoundedRequest
from deployments.api.auth import RoomToken
from deployments.api.rate_headers import rate_headers
from deployments.gateway.metering import AdmittedRequest
from deployments.gateway.service import Gateway
from routing.models import Service


async def admit(request: BoundedRequest, gateway: Gateway, service: Service) -> AdmittedRequest:
    """Return the request as its tenant's rate admits it, before its body is read."""
    admitted = await gateway.admit(room_token(request, gateway), service)
    request.response_headers |= rate_headers(admitted.rate)
    return admitted


def room_token(request: BoundedRequest, gateway: Gateway, room: str | None = None) -> RoomToken:
    """Return the verified room token; raises Unauthorized, or Forbidden where the request names another room."""
    named = room or request.headers.get("x-rayroom-room")
    return gateway.tokens.read(request.headers.get("authorization"), named)
