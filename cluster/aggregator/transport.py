"""The cost transport between a replica and the aggregator: one WebSocket, one batch in flight, no actor call.

The handshake carries a secret and the wire version, and each batch gets one reply. A model replica's connection carries
call records instead, which get none. aiohttp keeps the connection: one written by hand saved
3 to 11 % of the CPU time of a request, where 15 % would have been worth its code (docs/measurements.md).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType, web

from cluster.aggregator.messages import (
    WIRE_VERSION,
    BadMessage,
    pack_entries,
    pack_receipts,
    pack_refusal,
    understands,
    unpack_entries,
    unpack_receipts,
    unpack_records,
)
from cluster.costs.models import Entry, Receipt
from routing.errors import CostsUnavailable
from routing.models import CallRecord
from routing.retry import backoff_s

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Ten times the size of the outbox's largest batch."""

SECRET_BYTES = 32
AUTHORIZATION = "Authorization"
WIRE_VERSION_HEADER = "Rayroom-Wire-Version"
CONTENT_HEADER = "Rayroom-Content"
CALL_RECORDS = "call-records"
"""The content of a model replica's connection; any other carries entries."""
HANDSHAKE_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
"""A client that does not read its reply for this long is disconnected."""
CONNECT_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 600.0
RECORDS_EVERY_S = 5.0
"""A model replica sends at least an empty message of call records this often."""
RECORDS_SILENT_S = 15.0
"""After a longer silence at the end of its connection, its last call records may not have arrived."""
IDLE_S, PROBE_S, PROBES = 15, 5, 3
"""A peer that is silent for `IDLE_S` is probed, and after `PROBES` probes without an answer the connection ends."""

# aiohttp would log malformed requests with their text, which may be anything.
_silent = logging.Logger("cost transport", logging.CRITICAL + 1)

Write = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]


class CallRecordIntake(Protocol):
    """The receiver of the model replicas' call records."""

    def replica_connected(self) -> None: ...

    def add_call_records(self, records: Iterable[CallRecord]) -> None: ...

    def replica_disconnected(self, *, records_lost: bool) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportAddress:
    """The aggregator's host and port, and the secret of a connection's handshake. New at every start."""

    host: str
    port: int
    secret: str = field(repr=False)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


class TransportServer:
    """Accept batches on connections whose handshake carries the secret, and reply to each once it is durable."""

    def __init__(self, write: Write, records: CallRecordIntake | None = None) -> None:
        self._write = write
        self._records = records
        self._secret = secrets.token_hex(SECRET_BYTES)
        self._runner: web.ServerRunner | None = None
        self._connections: set[web.WebSocketResponse] = set()

    async def listen(self, host: str) -> TransportAddress:
        """Listen on a free port of this one address and return it."""
        server = web.Server(
            self._serve,
            access_log=None,
            # Despite its name it also ends a connection that sends no whole request.
            keepalive_timeout=HANDSHAKE_TIMEOUT_S,
            lingering_time=0,
            logger=_silent,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSE_TIMEOUT_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        return TransportAddress(host=host, port=self._runner.addresses[0][1], secret=self._secret)

    async def aclose(self) -> None:
        """Close the port and all connections. A batch that has reached the commit log is still written."""
        for connection in list(self._connections):
            await _close_in_time(connection)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        given = request.headers.get(AUTHORIZATION, "").encode(errors="replace")
        if not hmac.compare_digest(given, self._secret.encode()):
            log.warning("cost connection refused", error="the secret is wrong")
            return web.Response(status=401)
        version = request.headers.get(WIRE_VERSION_HEADER)
        if not understands(version):
            log.warning("cost connection refused", error="wire version", wire_version=(version or "")[:9])
            return web.Response(status=426)
        connection = web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        await connection.prepare(request)
        detect_dead_peer(connection.get_extra_info("socket"))
        self._connections.add(connection)
        try:
            if self._records is not None and request.headers.get(CONTENT_HEADER) == CALL_RECORDS:
                await _receive_records(connection, self._records)
            else:
                await self._reply(connection)
        except Exception as error:
            _log_end(error)
            # Not closed: a close frame waits in the same full buffer as a reply that the client does not read.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._connections.discard(connection)
        return connection

    async def _reply(self, connection: web.WebSocketResponse) -> None:
        """Reply to one batch after the other until the connection ends; the next one waits in the TCP buffers."""
        async for message in connection:
            if message.type is not WSMsgType.BINARY:
                raise BadMessage("a message is not binary or too long")
            reply = await self._write_batch(unpack_entries(message.data))
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await connection.send_bytes(reply)

    async def _write_batch(self, entries: list[Entry]) -> bytes:
        try:
            return pack_receipts(await self._write(entries))
        except CostsUnavailable as refusal:
            return pack_refusal(refusal)


async def _receive_records(connection: web.WebSocketResponse, records: CallRecordIntake) -> None:
    """Hand on the call records of one model replica until its connection ends."""
    records.replica_connected()
    heard_at_s = time.monotonic()
    try:
        async for message in connection:
            if message.type is not WSMsgType.BINARY:
                raise BadMessage("a message is not binary or too long")
            heard_at_s = time.monotonic()
            records.add_call_records(unpack_records(message.data))
    finally:
        # What a killed replica has sent arrives before its connection ends; an unreachable one is silent for long.
        records.replica_disconnected(records_lost=time.monotonic() - heard_at_s > RECORDS_SILENT_S)


class CostTransport:
    """Send batches over one connection, reconnecting when it breaks; fall back to `call` while none can be made.

    `find` returns the aggregator's present address, by an actor call: it may have restarted elsewhere.
    """

    def __init__(
        self, find: Callable[[], Awaitable[TransportAddress]], call: Write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._call = call
        self._clock = clock
        self._connection: ClientConnection | None = None
        self._retry_at_s = -1.0
        self._failures = 0
        self._warned = False

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        """Return the entries' receipts; raises CostsUnavailable, or the error that broke the connection.

        One batch at a time, and the caller sets its deadline. A cancelled call closes the connection: its late reply
        would be read as the next batch's.
        """
        connection = await self._connected()
        if connection is None:
            return await self._call(entries)
        try:
            return unpack_receipts(await connection.exchange(pack_entries(entries)))
        except CostsUnavailable:
            raise
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()

    async def _connected(self) -> ClientConnection | None:
        if self._connection is None and self._clock() >= self._retry_at_s:
            try:
                self._connection = await connect(await self._find())
                self._failures = 0
            except (OSError, ClientError) as error:
                self._unreachable(error)
        return self._connection

    def _unreachable(self, error: Exception) -> None:
        self._failures += 1
        self._retry_at_s = self._clock() + backoff_s(self._failures, FIRST_RETRY_S, LONGEST_RETRY_S)
        if not self._warned:
            self._warned = True
            log.warning(
                "aggregator port unreached",
                error=type(error).__name__,
                effect="costs go by actor calls, which are slower",
                remedy="open the nodes' ports to each other",
            )


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """The replica's end of a connection."""

    session: ClientSession
    websocket: ClientWebSocketResponse

    async def exchange(self, message: bytes) -> bytes:
        """Send a batch and return the reply; raises ConnectionResetError when the connection broke."""
        await self.websocket.send_bytes(message)
        reply = await self.websocket.receive()
        if reply.type is not WSMsgType.BINARY:
            raise ConnectionResetError("the cost connection broke")
        return bytes(reply.data)

    def send(self, message: bytes) -> None:
        """Write a message that gets no reply, without waiting; raises ConnectionError when the connection broke.

        What the socket does not take at once stays in the transport's buffer, until `detect_dead_peer` ends the
        connection.
        """
        sending = self.websocket.send_bytes(message)
        try:
            sending.send(None)
        except StopIteration:
            return
        # The whole message is in the buffer: left out is only the wait for the peer to read it.
        sending.close()

    async def ended(self) -> None:
        """Return when the connection has ended."""
        async for _ in self.websocket:
            continue

    async def aclose(self) -> None:
        await _close_in_time(self.websocket)
        await _close_in_time(self.session)


async def connect(address: TransportAddress, content: str = "entries") -> ClientConnection:
    """Connect with the secret; raises OSError or ClientError."""
    session = ClientSession(
        headers={
            AUTHORIZATION: address.secret,
            WIRE_VERSION_HEADER: str(WIRE_VERSION),
            CONTENT_HEADER: content,
        }
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            websocket = await session.ws_connect(address.url, max_msg_size=MAX_MESSAGE_BYTES)
    except BaseException:
        await session.close()
        raise
    detect_dead_peer(websocket.get_extra_info("socket"))
    return ClientConnection(session, websocket)


async def _close_in_time(connection: ClientSession | ClientWebSocketResponse | web.WebSocketResponse) -> None:
    """Close a connection; a peer that does not answer is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()


def _log_end(error: Exception) -> None:
    """Log why a connection ended, unless its client just left."""
    if isinstance(error, BadMessage):
        log.warning("cost connection closed", error=str(error))
    elif not isinstance(error, ConnectionError):
        log.error("cost connection closed", error=type(error).__name__)


def detect_dead_peer(connection: socket.socket | None) -> None:
    """Let the kernel end a connection whose peer vanished without closing it, or reads nothing.

    A connection that broke already has no socket.
    """
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000 * (IDLE_S + PROBES * PROBE_S))
