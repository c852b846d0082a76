"""A tenant's rate is taken before the body of a request is read, so that refused requests count."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from deployments.api.access.room_tokens import RoomToken, issue_token
from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from routing.errors import RateLimited, TenantSuspended, TenantUnknown
from routing.ratelimit import RateStanding
from routing.rooms import parse_room
from tests.support.credentials import Bearer, room_token
from tests.support.gateway import InProcessCluster

SLOW = "tenant_slow_standup"
BAD: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"json": {"messages": []}}),
    ("/v1/embeddings", {"json": {"input": 7}}),
    ("/v1/knowledge/search", {"json": {"query": ""}}),
    ("/v1/frames", {"content": b"no picture", "headers": {"content-type": "image/jpeg"}}),
    ("/v1/frames", {"content": b"no picture"}),
]


def token_of(room: str) -> RoomToken:
    return issue_token(parse_room(room), "job-1", 900, 0.0)


@pytest.mark.parametrize(("path", "bad"), BAD)
async def test_a_request_that_is_refused_for_its_body_counts(
    http: httpx.AsyncClient, bearer: Bearer, path: str, bad: dict[str, Any]
) -> None:
    statuses = []
    for _ in range(6):
        sent = bad | {"headers": bearer(SLOW) | bad.get("headers", {})}
        response = await http.post(path, **sent)
        statuses.append(response.status_code)
    # A knowledge search has four times the rate of the other requests.
    assert statuses[0] in (400, 415) and statuses[-1] == 429
    assert response.headers["retry-after"] and response.json()["error"]["remaining"] == 0


async def test_a_tenant_without_a_request_left_is_refused_before_its_body_is_read(gateway: Gateway) -> None:
    app = build_routes(gateway)
    await gateway.admit(token_of(SLOW), "llm")
    read, status = await call_without_a_body(app, "/v1/chat/completions", room_token(SLOW))
    assert (read, status) == (False, 429)


async def call_without_a_body(app: FastAPI, path: str, token: str) -> tuple[bool, int]:
    """Return whether the body was read, and the status; the body never arrives."""
    read, statuses = False, list[int]()

    async def receive() -> dict[str, Any]:
        nonlocal read
        read = True
        await asyncio.sleep(3_600)
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "POST", "path": path, "root_path": "", "headers": headers, "query_string": b""}
    await asyncio.wait_for(app(scope, receive, send), 5)
    return read, statuses[0]


async def test_an_admission_has_the_billing_context_and_the_tenants_rate(gateway: Gateway) -> None:
    admission = await gateway.admit(token_of(SLOW), "vision")
    billing = admission.billing
    assert (billing.tenant.tenant_id, billing.room, billing.service) == ("slow", SLOW, "vision")
    assert admission.rate == RateStanding(limit_per_minute=6, remaining=0, reset_s=10.0)
    with pytest.raises(RateLimited):
        await gateway.admit(token_of(SLOW), "llm")
    assert (await gateway.admit_search(token_of(SLOW))).billing.service == "embeddings"
    assert (await gateway.admit(token_of("tenant_acme_standup"), "llm")).rate is None


async def test_only_an_active_tenant_is_admitted(gateway: Gateway, cluster: InProcessCluster) -> None:
    with pytest.raises(TenantSuspended):
        await gateway.admit(token_of("tenant_initech_standup"), "llm")
    with pytest.raises(TenantUnknown):
        await gateway.admit(token_of("tenant_nobody_standup"), "llm")
    assert await cluster.events() == []
