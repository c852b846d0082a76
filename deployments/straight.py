"""FastAPI with a straight way to the routes that carry the traffic. Knows no route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from routing.errors import RayroomError

Endpoint = Callable[[Request], Awaitable[Response]]


class StraightApp(FastAPI):
    """Calls a straight endpoint itself: FastAPI's middleware and its solving of parameters cost more than we do.

    Such an endpoint reads its request whole and returns a response; FastAPI still knows it, and describes it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._straight: dict[tuple[str, str], Endpoint] = {}

    def post_straight(self, path: str, **description: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a POST route without parameters in its path."""

        def register(endpoint: Endpoint) -> Endpoint:
            self.post(path, **description)(endpoint)
            self._straight["POST", path] = endpoint
            return endpoint

        return register

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._straight.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        try:
            response = await endpoint(Request(scope, receive))
        except RayroomError as error:
            response = error_response(error)
        except Exception:
            await error_response(RayroomError())(scope, receive, send)
            # The server writes a bug down, as it does for the other routes.
            raise
        await response(scope, receive, send)


def error_response(error: RayroomError) -> JSONResponse:
    """Return the error envelope, with `Retry-After` in whole seconds where waiting helps."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, -(-error.retry_after_s // 1)))}
    if error.status in (429, 503):
        headers.setdefault("retry-after", "1")
    return JSONResponse(error.envelope(), error.status, {k: v.removesuffix(".0") for k, v in headers.items()})
