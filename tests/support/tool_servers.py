"""MCP servers on real sockets: one of the official package, and hostile ones that break its rules."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from aiohttp import web
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True)


@dataclass
class OrderServer:
    """A shop's server of the official package. It keeps the calls that it received."""

    url: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    def server(self) -> MCPServer[Any]:
        server: MCPServer[Any] = MCPServer("shop")

        @server.tool(title="Order status", description="Where an order is.", annotations=READ_ONLY)
        def order_status(order: int = 17) -> str:
            self.calls.append(("order_status", order))
            return f"Order {order} is in harbour forty two."

        @server.tool(title="Cancel an order")
        def cancel_order(order: int = 17) -> str:
            self.calls.append(("cancel_order", order))
            return f"Order {order} is cancelled."

        @server.tool(annotations=READ_ONLY)
        def break_down() -> str:
            raise ValueError("the shop is closed")

        @server.tool(annotations=READ_ONLY)
        async def sleep() -> str:
            await asyncio.sleep(60.0)
            return "late"

        @server.tool(annotations=READ_ONLY)
        def flood() -> str:
            return "x" * 10_000_000

        return server

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OrderServer]:
        app = self._recording(self.server().streamable_http_app())
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
        try:
            yield self
        finally:
            server.should_exit = True
            await task

    def _recording(self, app: Any) -> Any:
        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            for name, value in scope.get("headers", ()):
                if name == b"authorization":
                    self.authorizations.append(value.decode())
            await app(scope, receive, send)

        return recorded


Reply = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def tool_row(name: str, **changes: Any) -> dict[str, Any]:
    """Return a tool as `tools/list` has it."""
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}}
    return {"name": name, "description": "Where it is.", "inputSchema": schema} | changes


@dataclass
class HostileServer:
    """A server of the older protocol, in JSON; its tools and its answer to a call are a test's."""

    tools: list[dict[str, Any]] = field(default_factory=lambda: [tool_row("look")])
    call: Reply | None = None
    every: Reply | None = None
    """The response to every request, in place of the protocol's."""
    methods: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HostileServer]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        message: dict[str, Any] = {}
        self.paths.add(f"{request.host.partition(':')[0]}{request.path}")
        with contextlib.suppress(ValueError):
            message = json.loads(await request.text())
        method = message.get("method", request.method)
        self.methods.append(method)
        if self.every is not None:
            return await self.every(request, message)
        if method == "tools/call" and self.call is not None:
            return await self.call(request, message)
        if "id" not in message:
            return web.Response(status=202)
        return web.json_response({"jsonrpc": "2.0", "id": message["id"]} | self._result(method))

    def _result(self, method: str) -> dict[str, Any]:
        if method == "initialize":
            info = {"name": "hostile", "version": "1"}
            return {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}}
        if method == "tools/list":
            return {"result": {"tools": self.tools}}
        if method == "tools/call":
            return {"result": {"content": [{"type": "text", "text": "It is here."}]}}
        return {"error": {"code": -32601, "message": "Method not found"}}
