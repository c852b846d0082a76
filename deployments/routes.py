"""Serve the gateway over HTTP: paths, headers, bodies and status codes."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from deployments.api.access.room_tokens import sign
from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.body import read_body
from deployments.api.embedding_schemas import KnowledgeSearch
from deployments.api.frame_schemas import FrameBody, parse_frame_headers
from deployments.api.json_schema import SchemaCheck
from deployments.api.openapi.configured_rules import configured_rules
from deployments.api.openapi.document import ADMIN, AGENT, BACKEND, COSTLY, ROOM, describe, header_parameters, operation
from deployments.api.openapi.room_responses import (
    FoundPassages,
    FrameDescription,
    HealthStatus,
    HeartbeatAnswer,
    RoomGrant,
    TenantReport,
    UsageTotals,
)
from deployments.api.response_headers import server_timing
from deployments.api.room_schemas import Heartbeat, OpenRoom
from deployments.api.uploads import Uploads
from deployments.bill_routes import add_bill
from deployments.gateway import openai_format
from deployments.gateway.frame_prompt import frame_of_body, frame_of_jpeg
from deployments.gateway.service import Gateway
from deployments.openai_routes import add_chat, add_embeddings, add_models, add_responses
from deployments.record_routes import add_records
from deployments.room_access import room_token, with_rate
from routing import VERSION
from routing.errors import NotAJpeg

MAX_FRAME_BYTES = 2 * 1024 * 1024


def build_routes(gateway: Gateway, request_ids: bool = True) -> FastAPI:
    """Return the ASGI app that serves `gateway`; `request_ids` is ApiApp's."""
    app = ApiApp(
        title="rayroom",
        version=VERSION,
        request_ids=request_ids,
        uploads=Uploads(gateway.metrics.upload_refused),
        on_end=gateway.metrics.request_ended,
    )
    schemas = SchemaCheck()
    # Ray looks up each request's route in this order, so the two most frequent ones come first.
    add_chat(app, gateway, schemas)
    _add_frames(app, gateway)
    _add_health(app, gateway)
    _add_rooms(app, gateway)
    add_embeddings(app, gateway)
    add_models(app, gateway)
    add_responses(app, gateway, schemas)
    _add_knowledge(app, gateway)
    _add_usage(app, gateway)
    add_bill(app, gateway)
    add_records(app, gateway)
    describe(app, configured_rules(gateway.catalogue, gateway.settings.embeddings.models))
    return app


def _add_frames(app: ApiApp, gateway: Gateway) -> None:
    described = operation(
        FrameDescription,
        (*COSTLY, 415),
        key=ROOM,
        body=FrameBody,
        binary="image/jpeg",
        parameters=header_parameters(),
    )

    @app.endpoint("POST", "/v1/frames", max_bytes=MAX_FRAME_BYTES, openapi_extra=described)
    async def frame(request: BoundedRequest) -> Response:
        """Describe one frame, its metadata in `x-frame-...` headers.

        The body is a raw JPEG, or JSON with the changed parts of the screen and its last description.
        """
        admitted = with_rate(request, await gateway.admit(room_token(request, gateway), "vision"))
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in ("image/jpeg", "application/json"):
            message = "The content-type must be image/jpeg, with the JPEG itself as body, or application/json."
            raise NotAJpeg(message, "content-type")
        headers, max_px = parse_frame_headers(request.headers), gateway.settings.vision.max_image_px
        body = await request.read(admitted.tenant_id)
        if kind == "image/jpeg":
            received = frame_of_jpeg(body, max_px)
        else:
            received = frame_of_body(await read_body(FrameBody, body), max_px)
        routed = await gateway.frame(admitted, headers, received)
        return JSONResponse(openai_format.description(routed), headers=server_timing(routed.vendor_s))


def _add_health(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint("GET", "/healthz", openapi_extra=operation(HealthStatus))
    async def healthz(request: BoundedRequest) -> Response:
        """Report that this replica's process answers."""
        return JSONResponse({"status": "ok"})

    @app.endpoint("GET", "/readyz", openapi_extra=operation(HealthStatus, (500, 503)))
    async def readyz(request: BoundedRequest) -> Response:
        """Report that a request could be answered and billed: by a model replica, and on each cost journal's disk."""
        await gateway.ready()
        return JSONResponse({"status": "ready"})


def _add_rooms(app: ApiApp, gateway: Gateway) -> None:
    opening = operation(RoomGrant, BACKEND, key=AGENT, body=OpenRoom)
    beating = operation(HeartbeatAnswer, BACKEND, key=ROOM, body=Heartbeat)
    closing = operation(UsageTotals, (401, 403, 500, 503), key=ROOM)

    @app.endpoint("POST", "/v1/rooms", openapi_extra=opening)
    async def open_room(request: BoundedRequest) -> Response:
        """Open a room for its agent, by an agent key; return its tenant, its limits and a room token."""
        grant = gateway.authentication.agent(request.headers.get("authorization"))
        opened = await gateway.rooms.open(await read_body(OpenRoom, await request.read("agent")), grant)
        token, tenant, limits = opened.token, opened.tenant, gateway.settings.rooms
        return JSONResponse(
            {
                "room": token.name.room,
                "tenant": {"id": tenant.tenant_id, "name": tenant.name, "plan": tenant.plan},
                "token": sign(token, gateway.keys),
                "expires_at": token.expires_at_s,
                "simulated": bool(gateway.settings.simulated_vendors),
                "takes_participants": True,
                "limits": {
                    "frames_per_second": limits.frames_per_second,
                    "image_long_side_px": limits.image_long_side_px,
                    "heartbeat_every_s": limits.heartbeat_every_s,
                    "max_frame_bytes": MAX_FRAME_BYTES,
                    "image_tokens": gateway.frame_tokens(),
                },
                "budget": opened.budget and asdict(opened.budget),
                "agent": opened.agent.model_dump(by_alias=True),
                "agent_refused": [asdict(field) for field in opened.refused],
            }
        )

    @app.endpoint("POST", "/v1/rooms/{room}/heartbeat", openapi_extra=beating)
    async def heartbeat(request: BoundedRequest, room: str) -> Response:
        """Record an agent's counters and speech usage; a token past half its lifetime is renewed.

        `taken` are the usage ids that are durable: the agent may resend any of them, and must keep all others but those
        in `set_aside`. These cannot be priced, and are in the router's log.
        """
        token = room_token(request, gateway, room)
        reply = await gateway.rooms.heartbeat(token, await read_body(Heartbeat, await request.read(token.tenant_id)))
        return JSONResponse(
            {
                "room": room,
                "token": sign(reply.token, gateway.keys),
                "expires_at": reply.token.expires_at_s,
                "taken": reply.taken,
                "set_aside": [
                    {"id": item.id, "param": item.param, "message": item.message} for item in reply.set_aside
                ],
                "budget": reply.budget and asdict(reply.budget),
            }
        )

    @app.endpoint("DELETE", "/v1/rooms/{room}", openapi_extra=closing)
    async def close_room(request: BoundedRequest, room: str) -> Response:
        """Close a room; return its tenant's totals so far."""
        return JSONResponse(asdict(await gateway.rooms.close(room_token(request, gateway, room))))


def _add_knowledge(app: ApiApp, gateway: Gateway) -> None:
    @app.endpoint(
        "POST",
        "/v1/knowledge/search",
        openapi_extra=operation(FoundPassages, COSTLY, key=ROOM, body=KnowledgeSearch),
    )
    async def search(request: BoundedRequest) -> Response:
        """Return the passages of the token's tenant for a question, and for the frame it is about."""
        admitted = with_rate(request, await gateway.admit_search(room_token(request, gateway)))
        found = await gateway.search(admitted, await read_body(KnowledgeSearch, await request.read(admitted.tenant_id)))
        rows = [
            {"id": passage.passage_id, "source": passage.source, "text": passage.text, "score": passage.score}
            for passage in found.passages
        ]
        body = {"model": found.model, "cost_nanousd": found.cost_nanousd, "simulated": found.simulated}
        return JSONResponse({"passages": rows} | body)


def _add_usage(app: ApiApp, gateway: Gateway) -> None:
    described = operation(TenantReport, (401, 404, 500, 502, 503), key=ADMIN)

    @app.endpoint("GET", "/v1/tenants/{tenant_id}/usage", openapi_extra=described)
    async def usage(request: BoundedRequest, tenant_id: str) -> Response:
        """Return a tenant's live totals and open rooms; needs an admin key."""
        gateway.authentication.admin(request.headers.get("authorization"))
        totals, rooms = await gateway.rooms.usage(tenant_id)
        return JSONResponse(asdict(totals) | {"rooms": [asdict(room) for room in rooms]})
