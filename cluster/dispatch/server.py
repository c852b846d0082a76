"""The HTTP routes of `rayroom dispatch`: LiveKit's webhooks, the workers' heartbeats, metrics and health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from cachetools import FIFOCache
from pydantic import ValidationError

from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.metrics import DispatchMetrics
from cluster.dispatch.signatures import Signatures
from cluster.dispatch.workers import SILENT_S
from room_agent.core.worker_heartbeat import PATH as WORKER_PATH
from room_agent.core.worker_heartbeat import WorkerHeartbeat
from routing.errors import BodyTimeout, RayroomError, Unauthorized

WEBHOOK_PATH = "/v1/livekit/webhook"
MAX_BODY_BYTES = 1_048_576
BODY_TIMEOUT_S = 10.0
PING_S = 5.0
MAX_EVENT_IDS = 20_000
"""The webhook ids that are remembered. An older repetition costs one look at a room."""
CLOSED = ("room_finished",)
"""Events after which there is no room to look at."""


class DispatchServer:
    """Passes verified webhooks and heartbeats to the dispatcher."""

    def __init__(self, dispatcher: Dispatcher, signatures: Signatures, metrics: DispatchMetrics) -> None:
        self._dispatcher = dispatcher
        self._signatures = signatures
        self._connections = 0
        self._metrics = metrics
        self._event_ids: FIFOCache[str, bool] = FIFOCache(MAX_EVENT_IDS)

    @asynccontextmanager
    async def running(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while the context is open; yield the port."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post(WEBHOOK_PATH, self._webhook),
                web.get(WORKER_PATH, self._worker),
                web.get("/metrics", self._show_metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _webhook(self, request: web.Request) -> web.Response:
        try:
            event = self._signatures.webhook(await _body(request), _token(request))
        except RayroomError as error:
            self._metrics.webhooks.labels("refused").inc()
            return _refusal(error)
        if event.id in self._event_ids:
            self._metrics.webhooks.labels("repeated").inc()
            return web.Response()
        self._event_ids[event.id] = True
        self._metrics.webhooks.labels("taken").inc()
        if event.room.name and event.event not in CLOSED:
            self._dispatcher.look_soon([event.room.name])
        return web.Response()

    async def _worker(self, request: web.Request) -> web.StreamResponse:
        """Read the heartbeats of one worker until its connection ends."""
        try:
            self._signatures.check_worker(_token(request))
        except RayroomError as error:
            self._metrics.heartbeats.labels("refused").inc()
            return _refusal(error)
        websocket = web.WebSocketResponse(heartbeat=PING_S, receive_timeout=SILENT_S, max_msg_size=MAX_BODY_BYTES)
        await websocket.prepare(request)
        self._connections += 1
        connection = self._connections
        try:
            async for message in websocket:
                self._dispatcher.report(WorkerHeartbeat.model_validate_json(message.data), connection)
                self._metrics.heartbeats.labels("taken").inc()
        except (ValidationError, TimeoutError):
            self._metrics.heartbeats.labels("refused").inc()
        finally:
            self._dispatcher.disconnect(connection)
        return websocket

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), content_type="text/plain", charset="utf-8")

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._dispatcher.ready
        return web.Response(status=200 if ready else 503, text="ok" if ready else "LiveKit does not answer")


def _token(request: web.Request) -> str:
    token = request.headers.get("Authorization", "")
    if not token:
        raise Unauthorized("The Authorization header is missing.")
    return token.removeprefix("Bearer ").strip()


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise BodyTimeout from None


def _refusal(error: RayroomError) -> web.Response:
    return web.json_response(error.envelope(), status=error.status)
