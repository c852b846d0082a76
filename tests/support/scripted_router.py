"""A router on a real socket with scripted responses for an agent: success, refusals, delays, invalid bodies."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ScriptedRouter:
    """Each request takes the next scripted status of its route; without one it succeeds."""

    port: int = 0
    statuses: deque[int] = field(default_factory=deque)
    open_statuses: deque[int] = field(default_factory=deque)
    heartbeat_statuses: deque[int] = field(default_factory=deque)
    retry_after_s: str = "0"
    frame_delay_s: float = 0.0
    may_describe: asyncio.Event = field(default_factory=asyncio.Event)
    """Each description waits for it."""
    fps: float = 10.0
    heartbeat_every_s: float = 0.1
    takes_participants: bool = True
    participants: list[dict[str, str] | None] = field(default_factory=list)
    frames: list[dict[str, str]] = field(default_factory=list)
    heartbeats: list[dict[str, float]] = field(default_factory=list)
    agent: dict[str, Any] = field(default_factory=dict)
    """The tenant's agent in the reply to an opening."""
    record_parts: list[dict[str, Any]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    tokens: list[str] = field(default_factory=list)
    passages: list[dict[str, Any]] = field(default_factory=list)
    search_statuses: deque[int] = field(default_factory=deque)
    search_delay_s: float = 0.0
    search_requests: list[dict[str, Any]] = field(default_factory=list)
    search_tokens: list[str] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)
    budget: dict[str, int | None] | None = None
    answer_chunks: list[str] = field(default_factory=lambda: ["It ", "says ", "forty two."])
    chunk_delay_s: float = 0.0
    chat_statuses: deque[int] = field(default_factory=deque)
    chat_requests: list[dict[str, Any]] = field(default_factory=list)
    chat_tokens: list[str] = field(default_factory=list)
    cancelled_chats: int = 0
    may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    """Each answer waits for it before its first chunk."""
    may_finish: asyncio.Event = field(default_factory=asyncio.Event)
    """Each answer waits for it after its last chunk but `last_chunks`."""
    last_chunks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for event in (self.may_describe, self.may_begin, self.may_finish):
            event.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedRouter]:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/rooms", self._open),
                web.post("/v1/rooms/{room}/heartbeat", self._heartbeat),
                web.post("/v1/rooms/{room}/record", self._record),
                web.delete("/v1/rooms/{room}", self._close),
                web.post("/v1/frames", self._frame),
                web.post("/v1/knowledge/search", self._search),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _open(self, request: web.Request) -> web.Response:
        if (status := _next_status(self.open_statuses)) != 200:
            return self._refusal(status)
        self.opened += 1
        limits = {"frames_per_second": self.fps, "image_long_side_px": 640}
        limits["heartbeat_every_s"] = self.heartbeat_every_s
        body = {"token": f"token-{self.opened}", "expires_at": 0, "simulated": True, "limits": limits}
        return web.json_response(body | {"takes_participants": self.takes_participants, "agent": self.agent})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        if (status := _next_status(self.heartbeat_statuses)) != 200:
            return self._refusal(status)
        heartbeat = await request.json()
        self.heartbeats.append(heartbeat["counters"])
        self.usage.extend(heartbeat.get("usage", []))
        self.participants.append(heartbeat.get("participants"))
        token = request.headers["authorization"].removeprefix("Bearer ")
        accepted = [event["id"] for event in heartbeat.get("usage", [])]
        return web.json_response({"token": token, "taken": accepted, "budget": self.budget})

    async def _record(self, request: web.Request) -> web.Response:
        self.record_parts.append(await request.json())
        return web.json_response({"outcome": "stored"})

    async def _close(self, _: web.Request) -> web.Response:
        self.closed += 1
        return web.json_response({})

    async def _frame(self, request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(self.frame_delay_s)
        await self.may_describe.wait()
        self.tokens.append(request.headers["authorization"])
        if (status := _next_status(self.statuses)) != 200:
            return self._refusal(status)
        self.frames.append(dict(request.headers))
        body: dict[str, Any] = {"description": "a slide", "model": "simulated/m", "tier": "simple"}
        return web.json_response(body | {"cost_nanousd": 7, "simulated": True})

    async def _search(self, request: web.Request) -> web.Response:
        self.search_requests.append(await request.json())
        self.search_tokens.append(request.headers["authorization"])
        await asyncio.sleep(self.search_delay_s)
        if (status := _next_status(self.search_statuses)) != 200:
            return self._refusal(status)
        body: dict[str, Any] = {"passages": self.passages, "model": "simulated/m"}
        return web.json_response(body | {"cost_nanousd": 7, "simulated": True})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.chat_requests.append(await request.json())
        self.chat_tokens.append(request.headers["authorization"].removeprefix("Bearer "))
        if (status := _next_status(self.chat_statuses)) != 200:
            return self._refusal(status)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self.may_begin.wait()
            for chunk in self.answer_chunks:
                await asyncio.sleep(self.chunk_delay_s)
                await response.write(_chunk({"content": chunk}, None))
            await self.may_finish.wait()
            for chunk in self.last_chunks:
                await response.write(_chunk({"content": chunk}, None))
            await response.write(_chunk({}, "stop") + b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.cancelled_chats += 1
            raise
        return response

    def _refusal(self, status: int) -> web.Response:
        # Status 0 stands for a page of a proxy in place of JSON.
        if status == 0:
            return web.Response(text="<html>not json</html>", content_type="text/html")
        headers = {"retry-after": self.retry_after_s} if status in (429, 503) else {}
        return web.json_response({"error": {"code": "scripted"}}, status=status, headers=headers)


def _chunk(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish_reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "simulated/m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _next_status(statuses: deque[int]) -> int:
    return statuses.popleft() if statuses else 200
