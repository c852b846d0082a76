"""Other connections that could carry cost batches to the aggregator, each with the guarantees of `CostTransport`.

Every peer checks a secret, bounds a message, and closes a connection that broke or whose batch was cancelled. The codec
of the entries is the project's own in all of them, so only the connections differ.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import aiohttp
import grpc
import grpc.aio
import websockets.asyncio.client
import websockets.asyncio.server
from aiohttp import web
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from cluster.aggregator.messages import pack_entries, pack_receipts, pack_refusal, unpack_entries, unpack_receipts
from cluster.aggregator.transport import MAX_MESSAGE_BYTES, TransportAddress, Write
from cluster.costs.models import Entry, Receipt
from routing.errors import CostsUnavailable

HOST = "127.0.0.1"
AUTHORIZATION = "authorization"
CONNECT_TIMEOUT_S = 5.0
LENGTH_BYTES = 4

Reply = Callable[[bytes], Awaitable[bytes]]


class Link(Protocol):
    """One open connection of a client. Raises OSError when it broke."""

    async def exchange(self, frame: bytes) -> bytes:
        """Send a batch and return its reply."""

    async def aclose(self) -> None: ...


class Peer(Protocol):
    """A library at both ends."""

    async def listen(self, reply: Reply, secret: str) -> int:
        """Listen on a free port of `HOST` and return it."""

    async def connect(self, port: int, secret: str) -> Link:
        """Connect to a port of `HOST`."""


class PeerTransport:
    """Send batches through a peer's connection, and connect again when it broke."""

    def __init__(self, peer: Peer, address: TransportAddress) -> None:
        self._peer = peer
        self._address = address
        self._link: Link | None = None

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        if self._link is None:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._link = await self._peer.connect(self._address.port, self._address.secret)
        try:
            reply = await self._link.exchange(pack_entries(entries))
        except (OSError, asyncio.CancelledError):
            await self.aclose()
            raise
        return unpack_receipts(reply)

    async def aclose(self) -> None:
        if self._link is not None:
            link, self._link = self._link, None
            await link.aclose()


def replying(write: Write) -> Reply:
    """Return the function from a message of entries to the message of their receipts, or of the refusal."""

    async def reply(frame: bytes) -> bytes:
        try:
            return pack_receipts(await write(unpack_entries(frame)))
        except CostsUnavailable as refusal:
            return pack_refusal(refusal)

    return reply


class AiohttpPost:
    """An HTTP POST a batch over a kept connection, without a router in front of its one handler."""

    async def listen(self, reply: Reply, secret: str) -> int:
        async def handle(request: web.BaseRequest) -> web.Response:
            if not hmac.compare_digest(request.headers.get(AUTHORIZATION, ""), secret):
                return web.Response(status=401)
            return web.Response(body=await reply(await request.read()))

        def sized(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            loop = asyncio.get_running_loop()
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_MESSAGE_BYTES)

        runner = web.ServerRunner(web.Server(handle, request_factory=sized, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        return int(runner.addresses[0][1])

    async def connect(self, port: int, secret: str) -> Link:
        session = aiohttp.ClientSession(
            headers={AUTHORIZATION: secret},
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        )
        return _PostLink(session, f"http://{HOST}:{port}/")


class _PostLink:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def exchange(self, frame: bytes) -> bytes:
        try:
            async with self._session.post(self._url, data=frame) as response:
                response.raise_for_status()
                return await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionResetError from error

    async def aclose(self) -> None:
        await self._session.close()


class Websockets:
    """One WebSocket of the library `websockets`, with its keepalive pings and without compression."""

    async def listen(self, reply: Reply, secret: str) -> int:
        def check(connection: ServerConnection, request: Request) -> Response | None:
            valid = hmac.compare_digest(request.headers.get(AUTHORIZATION, ""), secret)
            return None if valid else connection.respond(401, "")

        async def handle(connection: ServerConnection) -> None:
            async for frame in connection:
                if isinstance(frame, str):
                    return
                await connection.send(await reply(frame))

        server = await websockets.asyncio.server.serve(
            handle, HOST, 0, process_request=check, compression=None, max_size=MAX_MESSAGE_BYTES
        )
        return int(next(iter(server.sockets)).getsockname()[1])

    async def connect(self, port: int, secret: str) -> Link:
        connection = await websockets.asyncio.client.connect(
            f"ws://{HOST}:{port}/",
            additional_headers={AUTHORIZATION: secret},
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            proxy=None,
        )
        return _WebsocketsLink(connection)


class _WebsocketsLink:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def exchange(self, frame: bytes) -> bytes:
        try:
            await self._connection.send(frame)
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            raise ConnectionResetError from error

    async def aclose(self) -> None:
        await self._connection.close()


class Grpc:
    """A unary gRPC call a batch, without protobuf."""

    METHOD = "/rayroom.Costs/Write"
    SIZES = (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    )

    async def listen(self, reply: Reply, secret: str) -> int:
        async def handle(frame: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            if not hmac.compare_digest(str(metadata.get(AUTHORIZATION, "")), secret):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED)
            return await reply(frame)

        service, method = self.METHOD.strip("/").split("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(handle)}
        # A server that is garbage-collected stops.
        self._server = grpc.aio.server(options=self.SIZES)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port: int = self._server.add_insecure_port(f"{HOST}:0")
        await self._server.start()
        return port

    async def connect(self, port: int, secret: str) -> Link:
        channel = grpc.aio.insecure_channel(f"{HOST}:{port}", options=self.SIZES)
        await channel.channel_ready()
        return _GrpcLink(channel, self.METHOD, secret)


class _GrpcLink:
    def __init__(self, channel: Any, method: str, secret: str) -> None:
        self._channel = channel
        self._call = channel.unary_unary(method)
        self._metadata = ((AUTHORIZATION, secret),)

    async def exchange(self, frame: bytes) -> bytes:
        try:
            reply: bytes = await self._call(frame, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise ConnectionResetError from error
        return reply

    async def aclose(self) -> None:
        await self._channel.close()


class OwnStreams:
    """No library: length-prefixed frames over asyncio's streams, the cheapest connection of our own."""

    async def listen(self, reply: Reply, secret: str) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    given = await _read_frame(reader, len(secret))
                while hmac.compare_digest(given, secret.encode()):
                    writer.write(_framed(await reply(await _read_frame(reader, MAX_MESSAGE_BYTES))))
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        await writer.drain()
            except (OSError, ValueError, asyncio.IncompleteReadError):
                writer.close()

        self._server = await asyncio.start_server(handle, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def connect(self, port: int, secret: str) -> Link:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(_framed(secret.encode()))
        return _StreamsLink(reader, writer)


class _StreamsLink:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def exchange(self, frame: bytes) -> bytes:
        self._writer.write(_framed(frame))
        await self._writer.drain()
        try:
            return await _read_frame(self._reader, MAX_MESSAGE_BYTES)
        except (ValueError, asyncio.IncompleteReadError) as error:
            raise ConnectionResetError from error

    async def aclose(self) -> None:
        self._writer.close()


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(LENGTH_BYTES) + frame


async def _read_frame(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    size = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
    if size > max_bytes:
        raise ValueError("a frame is longer than the limit")
    return await reader.readexactly(size)
