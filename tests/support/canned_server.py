"""A server that returns the response that a test sets, valid or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class CannedServer:
    """A server of one route. `reply` is the JSON or the bytes of its response."""

    path: str
    reply: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    accepts_post: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    accept_encodings: set[str] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.methods.append(request.method)
        self.accept_encodings.add(request.headers.get("accept-encoding", ""))
        if request.method == "POST" and not self.accepts_post:
            error = {"message": "no", "code": -32005, "data": {"code": "METHOD_NOT_SUPPORTED", "httpStatus": 405}}
            return web.json_response({"error": error}, status=405)
        self.requests.append(json.loads(request.query.get("input") or await request.text()))
        await asyncio.sleep(self.delay_s)
        body = self.reply if isinstance(self.reply, bytes) else json.dumps(self.reply).encode()
        headers = {"content-type": "application/json"} | self.headers
        return web.Response(body=body, status=self.status, headers=headers)


@asynccontextmanager
async def canned_server(path: str, **changes: Any) -> AsyncIterator[CannedServer]:
    """Yield a running server of one path."""
    server = CannedServer(path, **changes)
    app = web.Application()
    app.router.add_route("*", path, server.answer)
    # The limit of Node, because a vector is longer than the line that aiohttp accepts by default.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True, max_line_size=16_384)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
