"""Dispatch every HTTP route the same way: bounded body, one error envelope, one set of headers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from deployments.api.response_headers import refused_rate
from deployments.api.uploads import Uploads
from deployments.common.streaming import is_being_cancelled
from routing.errors import BodyTimeout, Overloaded, RayroomError, ReplicaLost, TooLarge
from routing.telemetry.current_request import CURRENT, REQUEST_ID, CurrentRequest, RequestEnd, new_request_id
from routing.telemetry.tracing import Span, task_span, valid_traceparent

BODY_TIMEOUT_S = 20.0
"""A frame of 2 MB arrives in that time at less than 1 Mbit/s."""
# Below the 4 MB that a Serve handle may carry between replicas.
MAX_JSON_BYTES = 3_500_000
CUT_UPLOAD = "The connection ended before the whole request had arrived; no vendor was called."
NO_ROUTE = "no_such_route"
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

Endpoint = Callable[..., Awaitable[Response]]
"""Takes the request, and the parameters in its path by their names; each is one segment of the path."""


class BoundedRequest(Request):
    """A request whose body is read within the limits of its route: bytes, seconds, and uploads at a time."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int, uploads: Uploads) -> None:
        super().__init__(scope, receive)
        self._max_bytes = max_bytes
        self._uploads = uploads
        self.response_headers: dict[str, str] = {}
        """The headers that the response has however the request ends."""

    async def read(self, sender: str) -> bytes:
        """Return the body that `sender` uploads; raises TooLarge, BodyTimeout or RateLimited."""
        with self._uploads.slot(sender):
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    return await self._chunks()
            except TimeoutError:
                raise BodyTimeout(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.", "body") from None

    async def _chunks(self) -> bytes:
        chunks, size = [], 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLarge(f"The body is larger than {self._max_bytes} bytes.", "body")
            chunks.append(chunk)
        return b"".join(chunks)


class _Route:
    """The endpoints of one path by method, and the path's pattern where it has parameters."""

    def __init__(self, path: str) -> None:
        self.path = path
        # `{name:path}` may hold slashes, as Starlette has it.
        named = re.sub(r"{(\w+):path}", r"(?P<\1>.+)", path)
        self.pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", named))
        self.endpoints: dict[str, tuple[Endpoint, int]] = {}


class ApiApp(FastAPI):
    """An app that calls its endpoints itself, and leaves to FastAPI only their description.

    FastAPI's middleware and its solving of parameters cost more than the gateway's own work for a request. An endpoint
    reads its request itself and returns a response, so it needs neither.
    """

    def __init__(
        self,
        *,
        request_ids: bool = True,
        uploads: Uploads | None = None,
        on_end: Callable[[RequestEnd], None] = lambda end: None,
        **settings: Any,
    ) -> None:
        """`request_ids` is False behind a server that adds `x-request-id` to each response, as Ray Serve does.

        `on_end` is called when a response was sent.
        """
        super().__init__(
            **settings,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            # The endpoint's name: generated clients name their functions by it.
            generate_unique_id_function=lambda route: route.name,
        )
        self._request_ids = request_ids
        self._on_end = on_end
        self._exact: dict[str, _Route] = {}
        self._patterns: list[_Route] = []
        self._uploads = uploads or Uploads()
        self.endpoint("GET", "/openapi.json", include_in_schema=False)(self._describe)

    def endpoint(
        self, method: str, path: str, max_bytes: int = MAX_JSON_BYTES, **description: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """Register an endpoint; `description` is FastAPI's."""

        def register(endpoint: Endpoint) -> Endpoint:
            # Ray Serve reads the routes from FastAPI, for its own metrics.
            self.add_api_route(path, endpoint, methods=[method], **description)
            self._route(path).endpoints[method] = endpoint, max_bytes
            return endpoint

        return register

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        current = CurrentRequest(request_id(scope["headers"]))
        CURRENT.set(current)
        started_s = time.perf_counter()
        with task_span(scope["method"], "server", parent=_traceparent(scope["headers"])) as span:
            try:
                await self._serve(scope, receive, send, current)
            finally:
                _describe_span(span, scope["method"], current)
                self._on_end(current.end(time.perf_counter() - started_s))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, current: CurrentRequest) -> None:
        try:
            response = await self._respond(scope, receive, current)
        except ClientDisconnect:
            # Also reported where only a proxy lost the body; without a response the client would get a bare 500.
            response = _failed(current, Overloaded(CUT_UPLOAD, retry_after_s=1.0))
        except asyncio.CancelledError:
            if is_being_cancelled():
                # By a client that left, and reads nothing; or by this replica's end, after which uvicorn would send a
                # bare 500. Only the latter is read, so neither counts as an error.
                await self._with_id(error_response(ReplicaLost()), current)(scope, receive, send)
                raise
            # It is another task's: Ray Serve raises it where a replica ended a call, and the client waits.
            response = _failed(current, ReplicaLost())
        except Exception:
            await self._identified(_failed(current, RayroomError()), current)(scope, receive, send)
            # The server logs the bug with its traceback.
            raise
        await self._identified(response, current)(scope, receive, send)

    def _identified(self, response: Response, current: CurrentRequest) -> Response:
        current.status = response.status_code
        return self._with_id(response, current)

    def _with_id(self, response: Response, current: CurrentRequest) -> Response:
        if self._request_ids:
            response.headers[REQUEST_ID] = current.request_id
        return response

    async def _respond(self, scope: Scope, receive: Receive, current: CurrentRequest) -> Response:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        route, parameters = self._find(path)
        if route is None:
            current.error_code = NO_ROUTE
            return _no_route(404, "Not Found")
        current.route = route.path
        found = route.endpoints.get(scope["method"])
        if found is None:
            current.error_code = NO_ROUTE
            return _no_route(405, "Method Not Allowed", {"allow": ", ".join(route.endpoints)})
        endpoint, max_bytes = found
        request = BoundedRequest(scope, receive, max_bytes, self._uploads)
        try:
            response = await endpoint(request, **parameters)
        except RayroomError as error:
            response = _failed(current, error)
        response.headers.update(request.response_headers)
        return response

    def _route(self, path: str) -> _Route:
        if "{" not in path:
            return self._exact.setdefault(path, _Route(path))
        route = _Route(path)
        for known in self._patterns:
            if known.pattern == route.pattern:
                return known
        self._patterns.append(route)
        return route

    def _find(self, path: str) -> tuple[_Route | None, Mapping[str, str]]:
        if route := self._exact.get(path):
            return route, {}
        for route in self._patterns:
            if match := route.pattern.fullmatch(path):
                return route, match.groupdict()
        return None, {}

    async def _describe(self, request: Request) -> Response:
        return JSONResponse(self.openapi())


def error_response(error: RayroomError) -> JSONResponse:
    """Return the error envelope, and the headers of its status.

    `Retry-After` is in whole seconds, at least one, where a retry may succeed.
    """
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else refused_rate(error.facts)
    if error.retry_after_s is not None or error.status in (429, 503):
        headers["retry-after"] = str(max(1, int(-(-(error.retry_after_s or 0.0) // 1))))
    return JSONResponse(error.envelope(), error.status, headers)


def _describe_span(span: Span, method: str, current: CurrentRequest) -> None:
    span.rename(f"{method} {current.route}")
    span.set(
        http__request__method=method,
        http__route=current.route,
        http__response__status_code=current.status,
        error__type=current.error_code,
        rayroom__request_id=current.request_id,
    )


def _failed(current: CurrentRequest, error: RayroomError) -> JSONResponse:
    current.error_code = error.code
    return error_response(error)


def _no_route(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "code": NO_ROUTE, "param": None}
    return JSONResponse({"error": error}, status, headers)


def _traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's W3C traceparent, or an empty text."""
    return next((valid_traceparent(value.decode("latin-1")) for name, value in headers if name == b"traceparent"), "")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the request's own id if it is a plain one, as Ray Serve does, or else a new one."""
    for name, value in headers:
        if name == REQUEST_ID.encode() and (plain := _PLAIN_ID.fullmatch(value)):
            return plain.group().decode()
    return new_request_id()
