"""Describes the routes whose bodies and headers are read by hand, for /openapi.json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from deployments.api.schemas import ChatRequest, EmbeddingRequest, FrameHeaders, Heartbeat, KnowledgeSearch, OpenRoom

_REF = "#/components/schemas/{model}"


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """Return a route's OpenAPI for a body that the route reads itself, so that its size is bounded."""
    schema = kind.model_json_schema(ref_template=_REF)
    schema.pop("$defs", None)
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}


def describe(app: FastAPI) -> None:
    """Have the OpenAPI document carry the schemas that the bodies refer to."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for kind in (OpenRoom, Heartbeat, ChatRequest, EmbeddingRequest, KnowledgeSearch):
            schemas.update(kind.model_json_schema(ref_template=_REF).get("$defs", {}))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def header_parameters() -> list[dict[str, Any]]:
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
