"""Read the room token of a request, and send its tenant's rate with the response."""

from __future__ import annotations

from deployments.api.access.room_tokens import RoomToken
from deployments.api.app import BoundedRequest
from deployments.api.response_headers import rate_headers
from deployments.gateway.metering import AdmittedRequest
from deployments.gateway.service import Gateway


def with_rate(request: BoundedRequest, admitted: AdmittedRequest) -> AdmittedRequest:
    """Return the admitted request; its response has its tenant's rate in the headers, however it ends."""
    request.response_headers |= rate_headers(admitted.rate)
    return admitted


def room_token(request: BoundedRequest, gateway: Gateway, room: str | None = None) -> RoomToken:
    """Return the verified room token; raises Unauthorized, or Forbidden where the request names another room."""
    named = room or request.headers.get("x-rayroom-room")
    return gateway.authentication.room(request.headers.get("authorization"), named)
