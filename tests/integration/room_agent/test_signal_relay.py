"""The relay passes everything on unchanged, and sends the settings of a track on the connection that subscribed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from livekit.protocol.rtc import SignalRequest, UpdateSubscription, UpdateTrackSettings
from yarl import URL

from room_agent.core.track_settings import TrackSettings, TrackSettingsClient
from room_agent.host.signal_relay import SignalRelay

TIMEOUT_S = 10.0
QUERY = "join_request=a%2Bb%2F%3D&token=c-d_&auto=1"
"""As the SDK encodes a message in base64."""


class SignalServer:
    """A LiveKit server that keeps the messages it receives, and answers each with its number."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.messages: asyncio.Queue[bytes | str] = asyncio.Queue(100)
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SignalServer]:
        app = web.Application()
        app.router.add_get("/rtc/validate", self._validate)
        app.router.add_get("/rtc/v1", self._signal)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _validate(self, request: web.Request) -> web.Response:
        return web.Response(status=401, text=f"no permission {request.query_string}")

    async def _signal(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.query.get("access_token") == "wrong":
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number = 0
        async for message in socket:
            if message.data == "close":
                break
            self.messages.put_nowait(message.data)
            await (socket.send_bytes(b"%d" % number) if number % 2 else socket.send_str(str(number)))
            number += 1
        return socket

    async def next_request(self) -> SignalRequest:
        async with asyncio.timeout(TIMEOUT_S):
            data = await self.messages.get()
        assert isinstance(data, bytes)
        return SignalRequest.FromString(data)


@pytest.fixture
async def server() -> AsyncIterator[SignalServer]:
    async with SignalServer().running() as server:
        yield server


@pytest.fixture
async def relay(server: SignalServer) -> AsyncIterator[SignalRelay]:
    async with SignalRelay(f"ws://127.0.0.1:{server.port}").running() as relay:
        yield relay


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as session:
        yield session


def subscription(*sids: str, subscribe: bool = True) -> bytes:
    message = UpdateSubscription(track_sids=sids, subscribe=subscribe)
    return SignalRequest(subscription=message).SerializeToString()


async def test_messages_query_and_credentials_pass_unchanged(
    server: SignalServer, relay: SignalRelay, http: aiohttp.ClientSession
) -> None:
    headers = {"authorization": "Bearer token", "user-agent": "sdk"}
    async with http.ws_connect(URL(f"{relay.url}/rtc/v1?{QUERY}", encoded=True), headers=headers) as socket:
        for sent in (b"\x00\xff", "text"):
            await (socket.send_bytes(sent) if isinstance(sent, bytes) else socket.send_str(sent))
        answers = [await socket.receive(), await socket.receive()]
    assert [answer.data for answer in answers] == ["0", b"1"]
    assert [server.messages.get_nowait() for _ in range(2)] == [b"\x00\xff", "text"]
    (request,) = server.requests
    assert request.rel_url.raw_query_string == QUERY
    assert request.headers["authorization"] == "Bearer token" and request.headers["user-agent"] == "sdk"


async def test_a_refusal_passes_with_its_status_and_its_reason(relay: SignalRelay, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{relay.url}/rtc/v1?access_token=wrong")
    assert refused.value.status == 401
    async with http.get(relay.url.replace("ws", "http") + "/rtc/validate?a=1") as response:
        assert (response.status, await response.text()) == (401, "no permission a=1")


async def test_a_server_that_cannot_be_reached_is_a_bad_gateway(http: aiohttp.ClientSession) -> None:
    # Nothing listens on the discard port.
    async with SignalRelay("ws://127.0.0.1:9").running() as relay:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{relay.url}/rtc/v1")
        assert refused.value.status == 502


async def test_a_connection_that_the_server_closes_is_closed_here(
    relay: SignalRelay, http: aiohttp.ClientSession
) -> None:
    async with asyncio.timeout(TIMEOUT_S), http.ws_connect(f"{relay.url}/rtc/v1") as socket:
        await socket.send_str("close")
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_settings_are_sent_on_the_connection_that_subscribed_the_track(
    server: SignalServer, relay: SignalRelay, http: aiohttp.ClientSession
) -> None:
    client = TrackSettingsClient(relay.settings_url)
    async with http.ws_connect(f"{relay.url}/rtc/v1") as socket, http.ws_connect(f"{relay.url}/rtc/v1"):
        await socket.send_bytes(subscription("TR_a", "TR_b"))
        assert list((await server.next_request()).subscription.track_sids) == ["TR_a", "TR_b"]
        assert await client.set(TrackSettings(track_sid="TR_b", fps=1))
        settings = (await server.next_request()).track_setting
        assert settings == UpdateTrackSettings(track_sids=["TR_b"], quality="HIGH", fps=1)
        assert await client.set(TrackSettings(track_sid="TR_a", fps=120, key_frame=True))
        assert [(await server.next_request()).track_setting.disabled for _ in range(2)] == [True, False]
        assert not await client.set(TrackSettings(track_sid="TR_unknown", fps=1))
    await client.aclose()


async def test_settings_for_a_room_that_was_left_are_refused(
    server: SignalServer, relay: SignalRelay, http: aiohttp.ClientSession
) -> None:
    client = TrackSettingsClient(relay.settings_url)
    async with http.ws_connect(f"{relay.url}/rtc/v1") as socket:
        await socket.send_bytes(subscription("TR_a"))
        await server.next_request()
        assert await client.set(TrackSettings(track_sid="TR_a", fps=1))
    async with asyncio.timeout(TIMEOUT_S):
        while await client.set(TrackSettings(track_sid="TR_a", fps=1)):
            pass
    await client.aclose()


async def test_a_resumed_session_takes_its_tracks_to_the_new_connection(
    server: SignalServer, relay: SignalRelay, http: aiohttp.ClientSession
) -> None:
    client = TrackSettingsClient(relay.settings_url)
    resumed = SignalRequest()
    resumed.sync_state.subscription.CopyFrom(UpdateSubscription(track_sids=["TR_a"], subscribe=True))
    async with http.ws_connect(f"{relay.url}/rtc/v1") as socket:
        await socket.send_bytes(resumed.SerializeToString())
        assert (await server.next_request()).HasField("sync_state")
        assert await client.set(TrackSettings(track_sid="TR_a", fps=1))
    await client.aclose()


async def test_nobody_without_the_secret_can_set_a_track(relay: SignalRelay, http: aiohttp.ClientSession) -> None:
    body = TrackSettings(track_sid="TR_a", fps=1).model_dump_json()
    async with http.post(relay.url.replace("ws", "http") + "/settings", data=body) as response:
        assert response.status == 404


async def test_without_a_relay_no_frames_are_asked_for() -> None:
    assert not await TrackSettingsClient(None).set(TrackSettings(track_sid="TR_a", fps=1))
