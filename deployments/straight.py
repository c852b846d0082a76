"""FastAPI with a straight way to the routes that carry the traffic. Knows no route."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from routing.errors import RayroomError

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
