"""Serve the routes that OpenAI's clients call: chat completions, embeddings and models."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.body import read_body
from deployments.api.chat.body import read_chat
from deployments.api.chat.schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest
from deployments.api.json_schema import SchemaCheck
from deployments.api.openapi.document import COSTLY, ROOM, operation
from deployments.api.openapi.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingResponse,
    ListedModel,
    ModelList,
)
from deployments.api.openapi.responses_object import ResponseEvent, ResponseObject
from deployments.api.response_headers import server_timing
from deployments.api.responses.body import read_responses
from deployments.api.responses.schemas import ResponsesRequest
from deployments.gateway import openai_format
from deployments.gateway.embedding_format import embedding_parts, paced
from deployments.gateway.responses_format import ResponseEvents, response_body
from deployments.gateway.service import Gateway
from deployments.room_access import room_token, with_rate
from deployments.stream_response import EventStream
from routing.errors import UnknownModel
from routing.models import Tier
from routing.policy import AUTO

VECTORS_AT_ONCE = 16
"""Responses with more vectors are written in parts, so that they do not hold the event loop."""
CREATED_S = 1_767_225_600
"""OpenAI's clients require a time of creation, and vendors' models have none here: the start of 2026."""


def add_chat(app: ApiApp, gateway: Gateway, schemas: SchemaCheck) -> None:
    described = operation(ChatCompletion, COSTLY, key=ROOM, body=ChatRequest, events=ChatCompletionChunk)

    @app.endpoint("POST", "/v1/chat/completions", openapi_extra=described)
    async def chat(request: BoundedRequest) -> Response:
        """Answer a turn, whole or streamed, as OpenAI's chat completions do."""
        admitted = with_rate(request, await gateway.admit(room_token(request, gateway), "llm"))
        turn = await read_chat(await request.read(admitted.tenant_id), schemas)
        if not turn.stream:
            routed = await gateway.chat(admitted, turn)
            return JSONResponse(openai_format.completion(routed), headers=server_timing(routed.vendor_s))
        with_usage = turn.stream_options is not None and bool(turn.stream_options.include_usage)
        return await EventStream.begun(gateway.chat_stream(admitted, turn), openai_format.ChatEvents(with_usage))


def add_responses(app: ApiApp, gateway: Gateway, schemas: SchemaCheck) -> None:
    described = operation(ResponseObject, COSTLY, key=ROOM, body=ResponsesRequest, events=ResponseEvent)

    @app.endpoint("POST", "/v1/responses", openapi_extra=described)
    async def responses(request: BoundedRequest) -> Response:
        """Answer a turn as OpenAI's Responses API does. Nothing is stored: each request has the whole conversation."""
        admitted = with_rate(request, await gateway.admit(room_token(request, gateway), "llm"))
        converted = await read_responses(await request.read(admitted.tenant_id), schemas)
        with converted.own_names():
            if converted.request.stream:
                writer = ResponseEvents(converted.request)
                return await EventStream.begun(gateway.chat_stream(admitted, converted.chat), writer)
            routed = await gateway.chat(admitted, converted.chat)
        return JSONResponse(response_body(converted.request, routed), headers=server_timing(routed.vendor_s))


def add_embeddings(app: ApiApp, gateway: Gateway) -> None:
    described = operation(EmbeddingResponse, COSTLY, key=ROOM, body=EmbeddingRequest)

    @app.endpoint("POST", "/v1/embeddings", openapi_extra=described)
    async def embeddings(request: BoundedRequest) -> Response:
        """Embed text and images, as OpenAI's embeddings do."""
        admitted = with_rate(request, await gateway.admit(room_token(request, gateway), "embeddings"))
        wanted = await read_body(EmbeddingRequest, await request.read(admitted.tenant_id))
        result, cost_nanousd = await gateway.embed(admitted, wanted)
        parts = embedding_parts(result, cost_nanousd, wanted.encoding_format or "float")
        if len(result.vectors) <= VECTORS_AT_ONCE:
            return Response(b"".join(parts), media_type="application/json")
        return StreamingResponse(paced(parts), media_type="application/json")


def add_models(app: ApiApp, gateway: Gateway) -> None:
    names = (AUTO, *Tier, *gateway.served_models)

    @app.endpoint("GET", "/v1/models", openapi_extra=operation(ModelList, (401, 403, 500), key=ROOM))
    async def models(request: BoundedRequest) -> Response:
        """List the models a request may name."""
        room_token(request, gateway)
        return JSONResponse({"object": "list", "data": [_model(name, gateway) for name in names]})

    described = operation(ListedModel, (401, 403, 404, 500), key=ROOM)

    @app.endpoint("GET", "/v1/models/{model:path}", openapi_extra=described)
    async def model(request: BoundedRequest, model: str) -> Response:
        """Return one of the models a request may name."""
        room_token(request, gateway)
        if model not in names:
            raise UnknownModel(f"The model {model[:80]!r} is not served here.", "model")
        return JSONResponse(_model(model, gateway))


def _model(name: str, gateway: Gateway) -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(name), "object": "model", "created": CREATED_S, "owned_by": "rayroom"}
    known = gateway.catalogue.models.get(name)
    if known is None:
        return row
    return row | {"owned_by": known.vendor, "simulated": known.vendor in gateway.settings.simulated_vendors}
