"""A router on a real socket that answers a room agent as its script says: well, busy, refusing, or not at all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ScriptedRouter:
    """`statuses` are used up frame by frame; without one left a frame is answered."""

    port: int = 0
    statuses: deque[int] = field(default_factory=deque)
    open_statuses: deque[int] = field(default_factory=deque)
    beat_statuses: deque[int] = field(default_factory=deque)
    retry_after_s: str = "0"
    answer_delay_s: float = 0.0
    fps: float = 10.0
    frames: list[dict[str, str]] = field(default_factory=list)
    beats: list[dict[str, float]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    tokens: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedRouter]:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/rooms", self._open),
                web.post("/v1/rooms/{room}/heartbeat", self._beat),
                web.delete("/v1/rooms/{room}", self._close),
                web.post("/v1/frames", self._frame),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _open(self, request: web.Request) -> web.Response:
        if (status := _next(self.open_statuses)) != 200:
            return self._refusal(status)
        self.opened += 1
        limits = {"frames_per_second": self.fps, "image_long_side_px": 640, "heartbeat_every_s": 0.1}
        body = {"token": f"token-{self.opened}", "expires_at": 0, "simulated": True, "limits": limits}
        return web.json_response(body)

    async def _beat(self, request: web.Request) -> web.Response:
        if (status := _next(self.beat_statuses)) != 200:
            return self._refusal(status)
        self.beats.append((await request.json())["counters"])
        return web.json_response({"token": request.headers["authorization"].removeprefix("Bearer ")})

    async def _close(self, _: web.Request) -> web.Response:
        self.closed += 1
        return web.json_response({})

    async def _frame(self, request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(self.answer_delay_s)
        self.tokens.append(request.headers["authorization"])
        if (status := _next(self.statuses)) != 200:
            return self._refusal(status)
        self.frames.append(dict(request.headers))
        body: dict[str, Any] = {"description": "a slide", "model": "simulated/m", "tier": "simple"}
        return web.json_response(body | {"cost_nanousd": 7, "simulated": True})

    def _refusal(self, status: int) -> web.Response:
        if status == 0:
            return web.Response(text="<html>not json</html>", content_type="text/html")
        headers = {"retry-after": self.retry_after_s} if status in (429, 503) else {}
        return web.json_response({"error": {"code": "scripted"}}, status=status, headers=headers)


def _next(statuses: deque[int]) -> int:
    return statuses.popleft() if statuses else 200
