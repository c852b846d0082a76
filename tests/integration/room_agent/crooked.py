"""A server on a socket of its own that returns any answer a test sets, valid or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Crooked:
    """A server of one route. `reply` is the JSON it answers with, or the bytes."""

    path: str
    reply: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    takes_long_queries: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    asked_encodings: set[str] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.methods.append(request.method)
        self.asked_encodings.add(request.headers.get("accept-encoding", ""))
        if request.method == "POST" and not self.takes_long_queries:
            error = {"message": "no", "code": -32005, "data": {"code": "METHOD_NOT_SUPPORTED", "httpStatus": 405}}
            return web.json_response({"error": error}, status=405)
        self.asked.append(json.loads(request.query.get("input") or await request.text()))
        await asyncio.sleep(self.delay_s)
        body = self.reply if isinstance(self.reply, bytes) else json.dumps(self.reply).encode()
        headers = {"content-type": "application/json"} | self.headers
        return web.Response(body=body, status=self.status, headers=headers)


@asynccontextmanager
async def crooked(path: str, **changes: Any) -> AsyncIterator[Crooked]:
    """Serve one path with any answer."""
    server = Crooked(path, **changes)
    app = web.Application()
    app.router.add_route("*", path, server.answer)
    # As Node has it: a vector is longer than the line that aiohttp takes.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True, max_line_size=16_384)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
