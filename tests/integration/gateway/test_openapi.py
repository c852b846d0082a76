"""The OpenAPI document is valid, names every answer and error, and the responses are as it says."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel

from deployments.api.openapi.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingResponse,
    ErrorEnvelope,
    ListedModel,
    ModelList,
)
from deployments.api.openapi.room_responses import (
    BillPageBody,
    FoundPassages,
    FrameDescription,
    HealthStatus,
    HeartbeatAnswer,
    RoomGrant,
    TenantReport,
    UsageTotals,
)
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import KEYS, jpeg

PUBLIC = {"/healthz", "/readyz"}
USER = [{"role": "user", "content": "Hello"}]
ROOM = "/v1/rooms/tenant_acme_standup"
ADMIN = {"authorization": f"Bearer {KEYS.admin[0]}"}
AGENT = {"authorization": f"Bearer {KEYS.agent[0]}"}
OPENING = {"room": "tenant_acme_standup", "job_id": "job-1", "metadata": '{"tenant_id": "acme"}'}


@pytest.fixture
async def document(http: httpx.AsyncClient) -> dict[str, Any]:
    body: dict[str, Any] = (await http.get("/openapi.json")).json()
    return body


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, route) for path, routes in document["paths"].items() for route in routes.values()]


async def test_the_document_is_valid_and_uses_each_of_its_components(document: dict[str, Any]) -> None:
    validate(document)
    text = json.dumps(document)
    for kind in ("schemas", "headers", "securitySchemes"):
        for name in document["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text or f'{{"{name}": []}}' in text, name


async def test_every_route_names_its_key_its_answer_and_its_errors(document: dict[str, Any]) -> None:
    for path, route in operations(document):
        assert (path in PUBLIC) is ("security" not in route), path
        assert ("401" in route["responses"]) is (path not in PUBLIC), path
        assert route["responses"]["200"]["content"]["application/json"]["schema"]["$ref"], path
        assert {"500"} <= set(route["responses"]) and "422" not in route["responses"], path
        has_query = any(parameter["in"] == "query" for parameter in route.get("parameters", ()))
        assert ("400" in route["responses"]) is ("requestBody" in route or has_query), path


async def test_each_error_has_the_envelope_and_its_headers(document: dict[str, Any]) -> None:
    for name, response in document["components"]["responses"].items():
        assert response["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorEnvelope")
        assert "x-request-id" in response["headers"]
        assert ("retry-after" in response["headers"]) is name.endswith(("TooManyRequests", "ServiceUnavailable"))
        assert ("www-authenticate" in response["headers"]) is name.endswith("Unauthorized")


def route_of(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Return the description of the route that serves a path."""
    path = path.partition("?")[0]
    templates = [known for known in document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)]
    route: dict[str, Any] = document["paths"][min(templates, key=lambda known: "{" in known)][method.lower()]
    return route


Sent = tuple[str, str, dict[str, Any], type[BaseModel]]
CHAT = "/v1/chat/completions"
TOKEN_REQUESTS: dict[str, Sent] = {
    "chat": ("POST", CHAT, {"json": {"messages": USER}}, ChatCompletion),
    "embeddings": ("POST", "/v1/embeddings", {"json": {"input": "Hello"}}, EmbeddingResponse),
    "base64": ("POST", "/v1/embeddings", {"json": {"input": "a", "encoding_format": "base64"}}, EmbeddingResponse),
    "models": ("GET", "/v1/models", {}, ModelList),
    "model": ("GET", "/v1/models/auto", {}, ListedModel),
    "frame": ("POST", "/v1/frames", {"content": jpeg(), "headers": FRAME_HEADERS}, FrameDescription),
    "heartbeat": ("POST", f"{ROOM}/heartbeat", {"json": {}}, HeartbeatAnswer),
    "knowledge": ("POST", "/v1/knowledge/search", {"json": {"query": "Hello"}}, FoundPassages),
    "closing": ("DELETE", ROOM, {}, UsageTotals),
    "health": ("GET", "/healthz", {}, HealthStatus),
    "readiness": ("GET", "/readyz", {}, HealthStatus),
    "opening": ("POST", "/v1/rooms", {"json": OPENING, "headers": AGENT}, RoomGrant),
    "bill": ("GET", "/v1/bill?tenant=acme&by=room&by=day", {"headers": ADMIN}, BillPageBody),
    "usage": ("GET", "/v1/tenants/acme/usage", {"headers": ADMIN}, TenantReport),
}


@pytest.mark.parametrize("name", TOKEN_REQUESTS)
async def test_a_response_has_the_fields_of_its_schema_and_no_other(
    name: str, http: httpx.AsyncClient, bearer: Bearer, document: dict[str, Any]
) -> None:
    method, path, sent, kind = TOKEN_REQUESTS[name]
    response = await http.request(method, path, **sent | {"headers": bearer() | sent.get("headers", {})})
    assert response.status_code == 200, response.text
    kind.model_validate(response.json())
    documented = route_of(document, method, path)["responses"]["200"]["content"]["application/json"]["schema"]
    assert documented == {"$ref": f"#/components/schemas/{kind.__name__}"}


async def test_each_event_of_a_stream_has_the_fields_of_its_schema(http: httpx.AsyncClient, bearer: Bearer) -> None:
    body = {"messages": USER, "stream": True, "stream_options": {"include_usage": True}}
    response = await http.post(CHAT, json=body, headers=bearer())
    *events, last = response.text.removesuffix("\n\n").split("\n\n")
    assert last == "data: [DONE]" and len(events) > 3
    for event in events:
        ChatCompletionChunk.model_validate_json(event.removeprefix("data: "))


REFUSED: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "no token": ("GET", "/v1/models", {"headers": {"authorization": ""}}, 401),
    "a bad body": ("POST", CHAT, {"json": {}}, 400),
    "an unknown model": ("GET", "/v1/models/gpt-9", {}, 404),
    "no image": ("POST", "/v1/frames", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
    "another room": ("DELETE", "/v1/rooms/tenant_globex_x", {}, 403),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_error_has_its_documented_status_and_envelope(
    name: str, http: httpx.AsyncClient, bearer: Bearer, document: dict[str, Any]
) -> None:
    method, path, sent, status = REFUSED[name]
    response = await http.request(method, path, **sent | {"headers": bearer() | sent.get("headers", {})})
    ErrorEnvelope.model_validate(response.json())
    route = route_of(document, method, path)
    assert response.status_code == status and str(status) in route["responses"]


async def test_no_header_parameter_may_be_null(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/frames"]["post"]["parameters"]
    assert {row["name"] for row in parameters} >= {"x-frame-phash", "x-frame-track"}
    assert not any("anyOf" in row["schema"] for row in parameters)


async def test_numbers_and_truth_values_are_not_taken_for_each_other(http: httpx.AsyncClient, bearer: Bearer) -> None:
    bodies: list[tuple[str, dict[str, Any], str]] = [
        (f"{ROOM}/heartbeat", {"ended": 0}, "ended"),
        (f"{ROOM}/heartbeat", {"counters": {"kept": False}}, "counters.kept"),
        ("/v1/embeddings", {"model": "auto", "input": "a slide", "drop_params": 0}, "drop_params"),
    ]
    for path, body, param in bodies:
        response = await http.post(path, json=body, headers=bearer())
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
