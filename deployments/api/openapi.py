"""OpenAPI schemas for the routes that parse their bodies and headers themselves, for /openapi.json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from deployments.api.chat_schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch
from deployments.api.frame_schemas import FrameHeaders
from deployments.api.room_schemas import Heartbeat, OpenRoom

_REF = "#/components/schemas/{model}"


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI of a body that the route reads itself, to bound its size."""
    schema = kind.model_json_schema(ref_template=_REF)
    schema.pop("$defs", None)
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}


def describe(app: FastAPI) -> None:
    """Add the schemas that the bodies refer to to the OpenAPI document."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for kind in (OpenRoom, Heartbeat, ChatRequest, EmbeddingRequest, KnowledgeSearch):
            schemas.update(kind.model_json_schema(ref_template=_REF).get("$defs", {}))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def header_parameters() -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of the `x-frame-...` headers."""
    schema = FrameHeaders.model_json_schema()
    return [
        {
            "name": "x-frame-" + name.replace("_", "-"),
            "in": "header",
            "required": name in schema.get("required", ()),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]
