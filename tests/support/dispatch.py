"""`rayroom dispatch` in the process of a test, and a proxy before LiveKit's server API that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from livekit import api

from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.livekit_rooms import LiveKitRooms
from cluster.dispatch.metrics import DispatchMetrics
from cluster.dispatch.server import DispatchServer
from cluster.dispatch.signatures import Signatures
from tests.support.livekit_server import LiveKit


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDispatch:
    """A running dispatch and its address."""

    url: str
    metrics: DispatchMetrics
    dispatcher: Dispatcher

    def figure(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = self.metrics.exposition().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"rayroom_dispatch_{name}"))


@asynccontextmanager
async def running_dispatch(livekit: LiveKit, port: int = 0, url: str | None = None) -> AsyncIterator[RunningDispatch]:
    """Yield a running dispatch; `url` replaces LiveKit's address for its calls."""
    rooms = LiveKitRooms(url or livekit.url, livekit.key, livekit.secret, "rayroom")
    metrics = DispatchMetrics()
    dispatcher = Dispatcher(rooms, metrics)
    server = DispatchServer(dispatcher, Signatures(livekit.key, livekit.secret), metrics)
    async with server.running("127.0.0.1", port) as bound:
        running = asyncio.create_task(dispatcher.run())
        try:
            yield RunningDispatch(url=f"http://127.0.0.1:{bound}", metrics=metrics, dispatcher=dispatcher)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait({running})
            await rooms.aclose()


@dataclass
class FailingProxy:
    """Forwards LiveKit's server API, or answers 500 while `failing`."""

    livekit: LiveKit
    failing: bool = False
    refused: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Yield the address of the proxy."""
        app = web.Application()
        app.add_routes([web.post("/{path:.*}", self._forward)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        async with aiohttp.ClientSession() as self._http:
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        if self.failing:
            self.refused += 1
            return web.json_response({"code": "internal", "msg": "scripted"}, status=500)
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        url = self.livekit.url.replace("ws://", "http://") + request.path
        async with self._http.post(url, data=await request.read(), headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


async def list_dispatches(livekit: LiveKit, room: str) -> list[api.AgentDispatch]:
    """Return the dispatches of our agent in a room; LiveKit adds one without a name to each room."""
    async with asyncio.timeout(20), api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as client:
        dispatches = await client.agent_dispatch.list_dispatch(room)
    return [dispatch for dispatch in dispatches if dispatch.agent_name == "rayroom"]
