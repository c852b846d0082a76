"""The HTTP face of the gateway: paths, headers, status codes, one error envelope. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from deployments.api.auth import RoomToken, check_key, sign
from deployments.api.openapi import describe, header_parameters, json_body
from deployments.api.schemas import (
    ChatRequest,
    EmbeddingRequest,
    Heartbeat,
    KnowledgeSearch,
    OpenRoom,
    parse_body,
    parse_frame_headers,
)
from deployments.gateway import openai_format
from deployments.gateway.service import Gateway
from routing.errors import BadInput, NotAJpeg, RayroomError, TooLarge
from routing.policy import AUTO

log = structlog.get_logger()

Endpoint = Callable[..., Awaitable[Response]]
"""It takes the request, and the parameters in its path by their names, each one segment of it."""


class StraightApp(FastAPI):
    """Calls a straight endpoint itself: FastAPI's middleware and its solving of parameters cost more than we do.

    Such an endpoint reads its request whole and returns a response; FastAPI still knows it, and describes it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._straight: dict[str, Endpoint] = {}
        self._patterns: list[tuple[re.Pattern[str], Endpoint]] = []

    def post_straight(self, path: str, **description: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a POST route."""

        def register(endpoint: Endpoint) -> Endpoint:
            self.post(path, **description)(endpoint)
            if "{" in path:
                self._patterns.append((re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), endpoint))
            else:
                self._straight[path] = endpoint
            return endpoint

        return register

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, parameters = self._find(scope)
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        try:
            response = await endpoint(Request(scope, receive), **parameters)
        except RayroomError as error:
            response = error_response(error)
        except Exception:
            await error_response(RayroomError())(scope, receive, send)
            # The server writes a bug down, as it does for the other routes.
            raise
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Endpoint | None, Mapping[str, str]]:
        if scope.get("method") != "POST":
            return None, {}
        path = scope["path"]
        if endpoint := self._straight.get(path):
            return endpoint, {}
        found = ((pattern.fullmatch(path), endpoint) for pattern, endpoint in self._patterns)
        return next(((endpoint, match.groupdict()) for match, endpoint in found if match), (None, {}))


def error_response(error: RayroomError) -> JSONResponse:
    """Return the error envelope, with `Retry-After` in whole seconds where waiting helps."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, -(-error.retry_after_s // 1)))}
    if error.status in (429, 503):
        headers.setdefault("retry-after", "1")
    return JSONResponse(error.envelope(), error.status, {k: v.removesuffix(".0") for k, v in headers.items()})


MAX_FRAME_BYTES = 2 * 1024 * 1024
# Below the 4 MB that a handle may carry between replicas.
MAX_JSON_BYTES = 3_500_000


def build_routes(gateway: Gateway) -> FastAPI:
    """Return the ASGI app that serves `gateway`."""
    app = StraightApp(title="rayroom", version="0.1.0", docs_url=None, redoc_url=None)
    _handle_errors(app)
    # Ray looks a request's route up from the first on, so these two are the first.
    _add_chat(app, gateway)
    _add_frames(app, gateway)
    _add_health(app)
    _add_rooms(app, gateway)
    _add_embeddings(app, gateway)
    _add_knowledge(app, gateway)
    _add_usage(app, gateway)
    describe(app)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that this replica's process answers."""
        return {"status": "ok"}


def _add_rooms(app: StraightApp, gateway: Gateway) -> None:
    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Say that the cost journal answers too, and that each model deployment has begun to."""
        await gateway.ready()
        return {"status": "ready"}

    @app.post("/v1/rooms", openapi_extra=json_body(OpenRoom))
    async def open_room(request: Request) -> dict[str, Any]:
        """Open a room for its agent: agent key in, tenant, limits and a room token out."""
        check_key(request.headers.get("authorization"), gateway.keys.agent, "agent")
        token, tenant = await gateway.open_room(parse_body(OpenRoom, await _body(request, MAX_JSON_BYTES)))
        limits = gateway.settings.rooms
        return {
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

    @app.post_straight("/v1/rooms/{room}/heartbeat", openapi_extra=json_body(Heartbeat))
    async def heartbeat(request: Request, room: str) -> JSONResponse:
        """Take an agent's counters and speech usage; the token is fresh when the old one is half spent.

        `taken` are the usage ids that are durable: to send one again is harmless, to forget one before is not.
        """
        token = _token(request, gateway, room)
        beaten = await gateway.heartbeat(token, parse_body(Heartbeat, await _body(request, MAX_JSON_BYTES)))
        return JSONResponse(
            {
                "room": room,
                "token": sign(beaten.token, gateway.keys),
                "expires_at": beaten.token.expires_at_s,
                "taken": beaten.taken,
                "budget": beaten.budget and asdict(beaten.budget),
            }
        )

    @app.delete("/v1/rooms/{room}")
    async def close_room(request: Request, room: str) -> dict[str, Any]:
        """Close a room; the answer is its tenant's totals so far."""
        return asdict(await gateway.close_room(_token(request, gateway, room)))


def _add_frames(app: StraightApp, gateway: Gateway) -> None:
    image = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "required": True}

    @app.post_straight("/v1/frames", openapi_extra={"requestBody": image, "parameters": header_parameters()})
    async def frame(request: Request) -> JSONResponse:
        """Describe one frame: a raw JPEG, its metadata in `x-frame-...` headers."""
        token = _token(request, gateway)
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "image/jpeg":
            raise NotAJpeg("The content-type must be image/jpeg, and the body the JPEG itself.", "content-type")
        headers = parse_frame_headers(request.headers)
        answered = await gateway.frame(token, headers, await _body(request, MAX_FRAME_BYTES))
        return JSONResponse(
            {
                "description": answered.answer.text,
                "model": answered.answer.model,
                "finish": answered.answer.finish,
                "usage": openai_format.usage(answered.answer.usage),
                **openai_format.told(answered),
            },
            headers={"server-timing": _timing(answered.vendor_s)},
        )


def _add_chat(app: StraightApp, gateway: Gateway) -> None:
    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """List the models a request may name."""
        _token(request, gateway)
        names = [AUTO, "simple", "complex", *gateway.catalogue.models]
        simulated = gateway.settings.simulated_vendors
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "rayroom"}
            | ({"simulated": model.vendor in simulated} if (model := gateway.catalogue.models.get(name)) else {})
            for name in names
        ]
        return {"object": "list", "data": rows}

    @app.post_straight("/v1/chat/completions", openapi_extra=json_body(ChatRequest))
    async def chat(request: Request) -> Response:
        """Answer a turn, whole or streamed, as OpenAI's chat completions do."""
        token = _token(request, gateway)
        asked = parse_body(ChatRequest, await _body(request, MAX_JSON_BYTES))
        if not asked.stream:
            answered = await gateway.chat(token, asked)
            return JSONResponse(
                openai_format.completion(answered), headers={"server-timing": _timing(answered.vendor_s)}
            )
        deltas = await gateway.chat_stream(token, asked)
        # The first piece is awaited here, so that what fails before it still has a status of its own.
        first = await anext(deltas)
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = openai_format.events(first, deltas, with_usage)
        told = {"cache-control": "no-store", "server-timing": _timing(first.vendor_s)}
        return StreamingResponse(events, media_type="text/event-stream", headers=told)


def _add_embeddings(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/embeddings", openapi_extra=json_body(EmbeddingRequest))
    async def embeddings(request: Request) -> dict[str, Any]:
        """Embed text and images, as OpenAI's embeddings do."""
        token = _token(request, gateway)
        asked = parse_body(EmbeddingRequest, await _body(request, MAX_JSON_BYTES))
        result, cost_nanousd = await gateway.embed(token, asked)
        packed = asked.encoding_format == "base64"
        rows = [
            {"object": "embedding", "index": index, "embedding": openai_format.packed(vector) if packed else vector}
            for index, vector in enumerate(result.vectors)
        ]
        tokens = result.usage.input_tokens if result.usage else 0
        return {
            "object": "list",
            "model": result.model,
            "data": rows,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "rayroom": {"cost_nanousd": cost_nanousd, "simulated": result.simulated},
        }


def _add_knowledge(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/knowledge/search", openapi_extra=json_body(KnowledgeSearch))
    async def search(request: Request) -> dict[str, Any]:
        """Return the passages of the token's tenant for a question, and for the frame it is about."""
        token = _token(request, gateway)
        found = await gateway.search(token, parse_body(KnowledgeSearch, await _body(request, MAX_JSON_BYTES)))
        rows = [
            {"id": passage.passage_id, "source": passage.source, "text": passage.text, "score": passage.score}
            for passage in found.passages
        ]
        told = {"model": found.model, "cost_nanousd": found.cost_nanousd, "simulated": found.simulated}
        return {"passages": rows, **told}


def _add_usage(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/v1/tenants/{tenant_id}/usage")
    async def usage(request: Request, tenant_id: str) -> dict[str, Any]:
        """Return a tenant's live totals and open rooms; needs an admin key."""
        check_key(request.headers.get("authorization"), gateway.keys.admin, "admin")
        totals, rooms = await gateway.usage(tenant_id)
        return asdict(totals) | {"rooms": [asdict(room) for room in rooms]}


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(RayroomError)
    async def ours(_: Request, error: RayroomError) -> Response:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        # FastAPI's error is no pydantic ValidationError, so `first_error` does not take it.
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return error_response(BadInput(f"{where}: {first['msg']}.", where))

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> Response:
        body = {"message": str(error.detail), "type": "invalid_request_error", "code": "no_such_route", "param": None}
        return JSONResponse({"error": body}, error.status_code)

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> Response:
        return error_response(RayroomError())


def _token(request: Request, gateway: Gateway, room: str | None = None) -> RoomToken:
    named = room or request.headers.get("x-rayroom-room")
    return gateway.tokens.read(request.headers.get("authorization"), named)


async def _body(request: Request, limit: int) -> bytes:
    """Return the body, reading no more than `limit` bytes; raises TooLarge."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.", "body")
        chunks.append(chunk)
    return b"".join(chunks)


def _timing(vendor_s: float) -> str:
    """Return a Server-Timing header: how much of the answer's time was the vendors'."""
    return f"vendor;dur={1_000 * vendor_s:.1f}"
