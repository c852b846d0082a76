"""Serve the gateway over HTTP: paths, headers, bodies and status codes."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.auth import RoomToken, check_key, sign
from deployments.api.body import parse_body
from deployments.api.chat_body import read_chat
from deployments.api.chat_schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch
from deployments.api.frame_schemas import parse_frame_headers
from deployments.api.json_schema import SchemaCheck
from deployments.api.openapi import describe, header_parameters, json_body
from deployments.api.rate_headers import rate_headers
from deployments.api.room_schemas import Heartbeat, OpenRoom
from deployments.gateway import openai_format
from deployments.gateway.metering import AdmittedRequest
from deployments.gateway.service import Gateway
from deployments.stream_response import EventStream, timing
from routing.errors import NotAJpeg
from routing.models import Service
from routing.policy import AUTO

MAX_FRAME_BYTES = 2 * 1024 * 1024


def build_routes(gateway: Gateway, request_ids: bool = True) -> FastAPI:
    """Return the ASGI app that serves `gateway`; `request_ids` is ApiApp's."""
    app = ApiApp(title="rayroom", version="0.1.0", request_ids=request_ids)
    # Ray looks up each request's route in this order, so the two most frequent ones come first.
    _add_chat(app, gateway)
    _add_frames(app, gateway)
    _add_health(app, gateway)
    _add_rooms(app, gateway)
    _add_embeddings(app, gateway)
    _add_knowledge(app, gateway)
    _add_usage(app, gateway)
    describe(app)
    return app


def _add_chat(app: ApiApp, gateway: Gateway) -> None:
    schemas = SchemaCheck()

    @app.endpoint("POST", "/v1/chat/completions", openapi_extra=json_body(ChatRequest))
    async def chat(request: BoundedRequest) -> Response:
        """Answer a turn, whole or streamed, as OpenAI's chat completions do."""
        admitted = await _admit(request, gateway, "llm")
        turn = await read_chat(await request.read(admitted.tenant_id), schemas)
        if not turn.stream:
            routed = await gateway.chat(admitted, turn)
            return JSONResponse(openai_format.completion(routed), headers=timing(routed.vendor_s))
        with_usage = turn.stream_options is not None and bool(turn.stream_options.include_usage)
        return await EventStream.begun(gateway.chat_stream(admitted, turn), with_usage)

    @app.endpoint("GET", "/v1/models")
    async def models(request: BoundedRequest) -> Response:
        """List the models a request may name."""
        _token(request, gateway)
        names = [AUTO, "simple", "complex", *gateway.catalogue.models]
        simulated = gateway.settings.simulated_vendors
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "rayroom"}
            | ({"simulated": model.vendor in simulated} if (model := gateway.catalogue.models.get(name)) else {})
            for name in names
        ]
        return JSONResponse({"object": "list", "data": rows})


def _add_frames(app: ApiApp, gateway: Gateway) -> None:
    image = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
    described = {"requestBody": image, "parameters": header_parameters()}

    @app.endpoint("POST", "/v1/frames", max_bytes=MAX_FRAME_BYTES, openapi_extra=described)
    async def frame(request: BoundedRequest) -> Response:
        """Describe one frame: a raw JPEG, its metadata in `x-frame-...` headers."""
        admitted = await _admit(request, gateway, "vision")
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "image/jpeg":
            raise NotAJpeg("The content-type must be image/jpeg, and the body the JPEG itself.", "content-type")
        headers = parse_frame_headers(request.headers)
        routed = await gateway.frame(admitted, headers, await request.read(admitted.tenant_id))
        return JSONResponse(openai_format.description(routed), headers=timing(routed.vendor_s))


def _add_health(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("GET", "/healthz")
    async def healthz(request: BoundedRequest) -> Response:
        """Report that this replica's process answers."""
        return JSONResponse({"status": "ok"})

    @app.endpoint("GET", "/readyz")
    async def readyz(request: BoundedRequest) -> Response:
        """Report that the cost journal answers too, and that each model deployment has had a replica."""
        await gateway.ready()
        return JSONResponse({"status": "ready"})


def _add_rooms(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("POST", "/v1/rooms", openapi_extra=json_body(OpenRoom))
    async def open_room(request: BoundedRequest) -> Response:
        """Open a room for its agent, by an agent key; return its tenant, its limits and a room token."""
        check_key(request.headers.get("authorization"), gateway.keys.agent, "agent")
        token, tenant = await gateway.rooms.open(parse_body(OpenRoom, await request.read("agent")))
        limits = gateway.settings.rooms
        return JSONResponse(
            {
                "room": token.name.room,
                "tenant": {"id": tenant.tenant_id, "name": tenant.name, "plan": tenant.plan},
                "token": sign(token, gateway.keys),
                "expires_at": token.expires_at_s,
                "simulated": bool(gateway.settings.simulated_vendors),
                "limits": {
                    "frames_per_second": limits.frames_per_second,
                    "image_long_side_px": limits.image_long_side_px,
                    "heartbeat_every_s": limits.heartbeat_every_s,
                    "max_frame_bytes": MAX_FRAME_BYTES,
                },
            }
        )

    @app.endpoint("POST", "/v1/rooms/{room}/heartbeat", openapi_extra=json_body(Heartbeat))
    async def heartbeat(request: BoundedRequest, room: str) -> Response:
        """Record an agent's counters and speech usage; a token past half its lifetime is renewed.

        `taken` are the usage ids that are durable: the agent may resend any of them, and must keep all others.
        """
        token = _token(request, gateway, room)
        reply = await gateway.rooms.heartbeat(token, parse_body(Heartbeat, await request.read(token.tenant_id)))
        return JSONResponse(
            {
                "room": room,
                "token": sign(reply.token, gateway.keys),
                "expires_at": reply.token.expires_at_s,
                "taken": reply.taken,
                "budget": reply.budget and asdict(reply.budget),
            }
        )

    @app.endpoint("DELETE", "/v1/rooms/{room}")
    async def close_room(request: BoundedRequest, room: str) -> Response:
        """Close a room; return its tenant's totals so far."""
        return JSONResponse(asdict(await gateway.rooms.close(_token(request, gateway, room))))


def _add_embeddings(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("POST", "/v1/embeddings", openapi_extra=json_body(EmbeddingRequest))
    async def embeddings(request: BoundedRequest) -> Response:
        """Embed text and images, as OpenAI's embeddings do."""
        admitted = await _admit(request, gateway, "embeddings")
        inputs = parse_body(EmbeddingRequest, await request.read(admitted.tenant_id))
        result, cost_nanousd = await gateway.embed(admitted, inputs)
        return JSONResponse(openai_format.embeddings(result, cost_nanousd, inputs.encoding_format))


def _add_knowledge(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("POST", "/v1/knowledge/search", openapi_extra=json_body(KnowledgeSearch))
    async def search(request: BoundedRequest) -> Response:
        """Return the passages of the token's tenant for a question, and for the frame it is about."""
        admitted = await gateway.admit_search(_token(request, gateway))
        request.response_headers |= rate_headers(admitted.rate)
        found = await gateway.search(admitted, parse_body(KnowledgeSearch, await request.read(admitted.tenant_id)))
        rows = [
            {"id": passage.passage_id, "source": passage.source, "text": passage.text, "score": passage.score}
            for passage in found.passages
        ]
        body = {"model": found.model, "cost_nanousd": found.cost_nanousd, "simulated": found.simulated}
        return JSONResponse({"passages": rows} | body)


def _add_usage(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("GET", "/v1/tenants/{tenant_id}/usage")
    async def usage(request: BoundedRequest, tenant_id: str) -> Response:
        """Return a tenant's live totals and open rooms; needs an admin key."""
        check_key(request.headers.get("authorization"), gateway.keys.admin, "admin")
        totals, rooms = await gateway.rooms.usage(tenant_id)
        return JSONResponse(asdict(totals) | {"rooms": [asdict(room) for room in rooms]})


async def _admit(request: BoundedRequest, gateway: Gateway, service: Service) -> AdmittedRequest:
    """Return the request as its tenant's rate admits it, before its body is read."""
    admitted = await gateway.admit(_token(request, gateway), service)
    request.response_headers |= rate_headers(admitted.rate)
    return admitted


def _token(request: BoundedRequest, gateway: Gateway, room: str | None = None) -> RoomToken:
    """Return the verified room token; raises Unauthorized, or Forbidden where the request names another room."""
    named = room or request.headers.get("x-rayroom-room")
    return gateway.tokens.read(request.headers.get("authorization"), named)
