"""Relays the LiveKit signalling of a worker and its rooms, and adds the one request that livekit-rtc cannot send.

livekit-server forwards fewer frames to a subscriber that sets `UpdateTrackSettings.fps`; the Python SDK has no call for
it. The worker and its jobs connect here instead of at the server, and nothing else is changed on the way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import structlog
from aiohttp import web
from google.protobuf.message import DecodeError
from livekit.protocol.models import VideoQuality
from livekit.protocol.rtc import SignalRequest, UpdateTrackSettings
from yarl import URL

from room_agent.core.router_transport import proxy_of, tls
from room_agent.core.track_settings import TrackSettings

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
HTTP_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 16_000_000
"""The server sends a room of thousands of participants as one message."""
MAX_BODY_BYTES = 1_000_000
DISABLED_S = 0.15
"""livekit-server takes a tenth of a second to disable a track."""
MAX_TRACKS = 4_096
"""The tracks that can be set, of all rooms of a worker; the ones subscribed first are forgotten first."""
_FORWARDED = ("authorization", "user-agent", "content-type")

log = structlog.get_logger()


class SignalRelay:
    """The relay of one worker, before the LiveKit server at `url`."""

    def __init__(self, url: str) -> None:
        self._server = URL(url)
        self._secret = secrets.token_urlsafe(16)
        self._upstream: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self._session: aiohttp.ClientSession | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The URL to connect to instead of the server's."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def settings_url(self) -> str:
        """The URL at which the jobs of this worker post TrackSettings. It holds a secret."""
        return f"http://127.0.0.1:{self._port}/{self._secret}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SignalRelay]:
        """Serve on a free port of the loopback interface until the block ends."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(f"/{self._secret}", self._set)
        app.router.add_route("*", "/{path:.*}", self._relay)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S, handler_cancellation=True)
        await runner.setup()
        secure = self._server.scheme in ("wss", "https")
        connector = aiohttp.TCPConnector(ssl=tls() if secure else True, limit=0)
        proxy = proxy_of(str(self._server.with_scheme("https" if secure else "http")))
        async with aiohttp.ClientSession(connector=connector, proxy=proxy, cookie_jar=aiohttp.DummyCookieJar()) as http:
            self._session = http
            try:
                await web.TCPSite(runner, "127.0.0.1", self._port).start()
                self._port = runner.addresses[0][1]
                yield self
            finally:
                await runner.cleanup()

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        # Unchanged: what the SDK has encoded would not be the same after another decoding.
        path = self._server.raw_path.rstrip("/") + request.rel_url.raw_path
        target = URL.build(
            scheme=self._server.scheme,
            authority=self._server.raw_authority,
            path=path,
            query_string=request.rel_url.raw_query_string,
            encoded=True,
        )
        try:
            if not web.WebSocketResponse().can_prepare(request).ok:
                return await self._pass_on(request, target, headers)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                upstream = await self._session.ws_connect(target, headers=headers, max_msg_size=MAX_MESSAGE_BYTES)
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Without its text, which may hold the URL with a token.
            log.warning("livekit server not reached", error=type(error).__name__)
            return web.Response(status=502)
        return await self._connect(request, upstream)

    async def _pass_on(self, request: web.Request, target: URL, headers: dict[str, str]) -> web.Response:
        """Pass on a request that opens no WebSocket, such as the one by which the SDK finds out why it was refused."""
        assert self._session is not None
        target = target.with_scheme("https" if self._server.scheme in ("wss", "https") else "http")
        async with (
            asyncio.timeout(HTTP_TIMEOUT_S),
            self._session.request(
                request.method, target, headers=headers, data=await request.read() or None, allow_redirects=False
            ) as response,
        ):
            return web.Response(status=response.status, body=await response.read(), content_type=response.content_type)

    async def _connect(self, request: web.Request, upstream: aiohttp.ClientWebSocketResponse) -> web.WebSocketResponse:
        downstream = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES)
        await downstream.prepare(request)
        ways = {
            asyncio.create_task(self._upward(downstream, upstream, request.path.startswith("/rtc"))),
            asyncio.create_task(_downward(upstream, downstream)),
        }
        try:
            # The first way that ends closes the other.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._upstream = {sid: socket for sid, socket in self._upstream.items() if socket is not upstream}
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await upstream.close(code=downstream.close_code or aiohttp.WSCloseCode.GOING_AWAY)
                    await downstream.close(code=upstream.close_code or aiohttp.WSCloseCode.GOING_AWAY)
        return downstream

    async def _upward(
        self, downstream: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse, is_room: bool
    ) -> None:
        async for message in downstream:
            if message.type is aiohttp.WSMsgType.BINARY:
                await upstream.send_bytes(message.data)
                if is_room:
                    # The worker's own messages are of another type.
                    self._note_subscriptions(message.data, upstream)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await upstream.send_str(message.data)

    def _note_subscriptions(self, data: bytes, upstream: aiohttp.ClientWebSocketResponse) -> None:
        try:
            request = SignalRequest.FromString(data)
        except DecodeError:
            return
        # After a short break the SDK resumes its session on another connection, and lists its tracks there.
        is_resumed = request.HasField("sync_state")
        subscription = request.sync_state.subscription if is_resumed else request.subscription
        if subscription.subscribe:
            for sid in subscription.track_sids:
                self._upstream.pop(sid, None)
                self._upstream[sid] = upstream
        while len(self._upstream) > MAX_TRACKS:
            self._upstream.pop(next(iter(self._upstream)))

    async def _set(self, request: web.Request) -> web.Response:
        settings = TrackSettings.model_validate_json(await request.read())
        upstream = self._upstream.get(settings.track_sid)
        if upstream is None or upstream.closed:
            return web.Response(status=404)
        message = UpdateTrackSettings(track_sids=[settings.track_sid], quality=VideoQuality.HIGH, fps=settings.fps)
        if settings.key_frame:
            # A track that is enabled again begins with one.
            message.disabled = True
            await upstream.send_bytes(SignalRequest(track_setting=message).SerializeToString())
            await asyncio.sleep(DISABLED_S)
            message.disabled = False
        await upstream.send_bytes(SignalRequest(track_setting=message).SerializeToString())
        return web.Response(status=204)


async def _downward(upstream: aiohttp.ClientWebSocketResponse, downstream: web.WebSocketResponse) -> None:
    async for message in upstream:
        if message.type is aiohttp.WSMsgType.BINARY:
            await downstream.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await downstream.send_str(message.data)
