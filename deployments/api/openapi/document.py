"""The OpenAPI document: each route's body, responses, errors, headers and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from deployments.api.chat.schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch
from deployments.api.field_rules import JsonSchema
from deployments.api.frame_schemas import FrameBody, FrameHeaders
from deployments.api.openapi.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingResponse,
    ErrorEnvelope,
    ListedModel,
    ModelList,
)
from deployments.api.openapi.responses_object import ResponseEvent, ResponseObject
from deployments.api.openapi.room_responses import (
    BillPageBody,
    DeletedRecords,
    FoundPassages,
    FrameDescription,
    HealthStatus,
    HeartbeatAnswer,
    ReportedPart,
    RoomGrant,
    TenantReport,
    UsageTotals,
)
from deployments.api.responses.schemas import ResponsesRequest
from deployments.api.room_schemas import Heartbeat, OpenRoom
from routing.records.models import RecordPart

_REF = "#/components/schemas/{model}"
ROOM, AGENT, ADMIN = "roomToken", "agentKey", "adminKey"

COSTLY = (400, 401, 402, 403, 404, 408, 410, 413, 429, 500, 502, 503, 504)
"""The statuses of the errors of a route that calls a vendor."""
BACKEND = (400, 401, 403, 404, 408, 413, 429, 500, 502, 503)
"""The statuses of the errors of a route that calls the company's backend, and has a body."""
_ERRORS = {
    400: "The request is wrong, or a model does not take it: `param` names the field, `code` the kind.",
    401: "There is no valid key or token, or the token's room was closed.",
    402: "The request may exceed the tenant's budget; its estimate and the remainder are among the facts.",
    403: "The key or token has no permission for this room or tenant, or the tenant is suspended.",
    404: "There is no such model, tenant or route.",
    408: "The body arrived too slowly.",
    410: "The vendor has retired the model; `successor` names the next one.",
    413: "The body or an image is too large.",
    415: "The body is not a JPEG.",
    429: "The tenant exceeds its request rate.",
    500: "A bug, or a wrong configuration.",
    502: "A vendor or the company's backend failed.",
    503: "Everything is busy, or the cost journal, the backend or a vendor does not answer now.",
    504: "The vendors did not answer in time.",
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "x-request-id": ("The id of the request, the client's own if it is plain.", {"type": "string"}),
    "retry-after": ("The seconds after which a retry may succeed.", {"type": "integer", "minimum": 1}),
    "www-authenticate": ("The scheme of the key.", {"const": "Bearer"}),
    "x-ratelimit-limit-requests": ("The tenant's requests a minute; absent without a limit.", {"type": "string"}),
    "x-ratelimit-remaining-requests": ("The requests that may be sent at once.", {"type": "string"}),
    "x-ratelimit-reset-requests": ("The time until that number is whole again, as `6m0s`.", {"type": "string"}),
}
_RATE = tuple(name for name in _HEADERS if name.startswith("x-ratelimit"))
_OF_STATUS = {401: ("www-authenticate",), 429: ("retry-after",), 503: ("retry-after",)}
_KEYS = {
    ROOM: ("The token of a room, from `POST /v1/rooms`.", {"bearerFormat": "JWT"}),
    AGENT: ("A key of the room agents.", {}),
    ADMIN: ("A key of the administrators.", {}),
}
_KINDS: tuple[type[BaseModel], ...] = (
    BillPageBody,
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    DeletedRecords,
    EmbeddingRequest,
    EmbeddingResponse,
    ErrorEnvelope,
    FoundPassages,
    FrameBody,
    FrameDescription,
    HealthStatus,
    Heartbeat,
    HeartbeatAnswer,
    KnowledgeSearch,
    ListedModel,
    ModelList,
    RecordPart,
    ReportedPart,
    RoomGrant,
    OpenRoom,
    ResponseEvent,
    ResponseObject,
    ResponsesRequest,
    TenantReport,
    UsageTotals,
)


def operation(
    success: type[BaseModel],
    errors: Iterable[int] = (500,),
    *,
    key: str | None = None,
    body: type[BaseModel] | None = None,
    binary: str | None = None,
    events: type[BaseModel] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the description of a route, which reads its request itself.

    `events` are those of its streams; `binary` is a media type that its body may have in place of JSON.
    """
    rated = 402 in (errors := tuple(errors))
    content = {"application/json": {"schema": _ref(success)}}
    if events is not None:
        content["text/event-stream"] = {"schema": _event(events)}
    described = {"description": "Successful Response", "headers": _headers(_RATE if rated else ()), "content": content}
    responses = {str(status): {"$ref": f"#/components/responses/{_name(status, rated)}"} for status in errors}
    extra: dict[str, Any] = {"responses": {"200": described} | responses} | more
    if key is not None:
        extra["security"] = [{key: []}]
    if body is not None:
        bodies: dict[str, Any] = {binary: {"schema": {"type": "string", "format": "binary"}}} if binary else {}
        extra["requestBody"] = {"content": bodies | {"application/json": {"schema": _ref(body)}}, "required": True}
    return extra


def describe(app: FastAPI, rules: Mapping[str, JsonSchema]) -> None:
    """Add the components to which the routes' descriptions refer; `rules` are added to schemas by their names."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for path in document["paths"].values():
            for route in path.values():
                # FastAPI adds its own error to each route with a parameter, and these routes never raise it.
                route["responses"].pop("422", None)
        document["components"] = _components(rules)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def request_schema(kind: str, rules: Mapping[str, JsonSchema]) -> JsonSchema:
    """Return the JSON Schema of a request body by its name in the document, with the components that it uses."""
    return {"$ref": _REF.format(model=kind), "components": _components(rules)}


def header_parameters() -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of the `x-frame-...` headers."""
    schema = FrameHeaders.model_json_schema()
    return [
        {
            "name": "x-frame-" + name.replace("_", "-"),
            "in": "header",
            "required": name in schema.get("required", ()),
            "schema": _without_null(field),
        }
        for name, field in schema["properties"].items()
    ]


def query_parameters(parameters: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of a route's query string; a list is given by several parameters of its name."""
    schema = parameters.model_json_schema()
    described = []
    for name, field in schema["properties"].items():
        if "$ref" in (items := field.get("items", {})):
            field["items"] = schema["$defs"][items["$ref"].rpartition("/")[2]]
        described.append({"name": name, "in": "query", "required": False, "schema": _without_null(field)})
    return described


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that may be absent but not null, as a header's text cannot be."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return kinds[0] | rest if len(kinds) == 1 else schema


def _components(rules: Mapping[str, JsonSchema]) -> dict[str, Any]:
    _, schemas = models_json_schema([(kind, "validation") for kind in _KINDS], ref_template=_REF)
    for name, rule in rules.items():
        schemas["$defs"][name].setdefault("allOf", []).append(rule)
    return {
        "schemas": schemas["$defs"],
        "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
        "responses": {_name(status, rated): _error(status, rated) for status in _ERRORS for rated in (False, True)},
        "securitySchemes": {
            name: {"type": "http", "scheme": "bearer", "description": text} | more
            for name, (text, more) in _KEYS.items()
        },
    }


def _event(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of one server-sent event, in the form that OpenAPI 3.2 gives it; its data is JSON."""
    payload = {"anyOf": [_ref(kind), _ref(ErrorEnvelope)]} if kind is ChatCompletionChunk else _ref(kind)
    data: dict[str, Any] = {"type": "string", "contentMediaType": "application/json", "contentSchema": payload}
    if kind is ChatCompletionChunk:
        data = {"anyOf": [{"const": "[DONE]"}, data]}
    return {"type": "object", "properties": {"event": {"type": "string"}, "data": data}, "required": ["data"]}


def _error(status: int, rated: bool) -> dict[str, Any]:
    return {
        "description": _ERRORS[status],
        "headers": _headers((*_OF_STATUS.get(status, ()), *(_RATE if rated else ()))),
        "content": {"application/json": {"schema": _ref(ErrorEnvelope)}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *names)}


def _name(status: int, rated: bool) -> str:
    """Return the name of a status's response; those of routes with a rate have its headers."""
    phrase = HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")
    return f"Rated{phrase}" if rated else phrase


def _ref(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=kind.__name__)}
