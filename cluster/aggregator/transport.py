"""The cost transport from a replica to the aggregator: one WebSocket, one batch in flight, no actor call.

The handshake carries a secret and the wire version, and each batch gets one reply. A model replica's connection carries
call records instead, which get none. aiohttp keeps the connection: one written by hand saved
3 to 11 % of the CPU time of a request, where 15 % would have been worth its code (docs/measurements.md).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType, web

from cluster.aggregator.messages import (
    WIRE_VERSION,
    pack_entries,
    unpack_receipts,
)
from cluster.costs.models import Entry, Receipt
from routing.errors import CostsUnavailable
from routing.retry import backoff_s

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Ten times the size of the outbox's largest batch."""

AUTHORIZATION = "Authorization"
WIRE_VERSION_HEADER = "Rayroom-Wire-Version"
CONTENT_HEADER = "Rayroom-Content"
CALL_RECORDS = "call-records"
"""The content of a model replica's connection; any other carries entries."""
REPLICA_HEADER = "Rayroom-Replica"
KEPT_HEADER = "Rayroom-Kept-Seconds"
"""The id of a model replica's process, and how far back the records reach that it sends first on a connection."""
TAKEN_OVER_HEADER = "Rayroom-Taken-Over-By"
"""The id of the connected replica that sends the records of one that is dead, on a connection in its name."""
CONNECT_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 600.0
RECORDS_EVERY_S = 5.0
"""A model replica sends at least an empty message of call records this often."""
IDLE_S, PROBE_S, PROBES = 15, 5, 3
"""A peer that is silent for `IDLE_S` is probed, and after `PROBES` probes without an answer the connection ends."""

Write = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]


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

        Bytes that the socket does not take at once stay in the transport's buffer, until `detect_dead_peer` ends the
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
        try:
            await close_in_time(self.websocket)
        finally:
            await close_in_time(self.session)


async def connect(address: TransportAddress, headers: Mapping[str, str] | None = None) -> ClientConnection:
    """Connect with the secret; raises OSError or ClientError."""
    session = ClientSession(
        headers={
            AUTHORIZATION: address.secret,
            WIRE_VERSION_HEADER: str(WIRE_VERSION),
            **(headers or {}),
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


async def close_in_time(connection: ClientSession | ClientWebSocketResponse | web.WebSocketResponse) -> None:
    """Close a connection; a peer that does not answer is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()


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
