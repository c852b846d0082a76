"""The aggregator's end of the cost transport: accept connections, write their batches and reply to each.

A connection of a model replica carries call records instead, which get no reply.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog
from aiohttp import WSMsgType, web

from cluster.aggregator.messages import (
    BadMessage,
    pack_receipts,
    pack_refusal,
    understands,
    unpack_entries,
    unpack_records,
)
from cluster.aggregator.transport import (
    AUTHORIZATION,
    CALL_RECORDS,
    CLOSE_TIMEOUT_S,
    CONTENT_HEADER,
    KEPT_HEADER,
    MAX_MESSAGE_BYTES,
    REPLICA_HEADER,
    TAKEN_OVER_HEADER,
    WIRE_VERSION_HEADER,
    TransportAddress,
    Write,
    close_in_time,
    detect_dead_peer,
)
from cluster.costs.models import Entry
from routing.errors import CostsUnavailable
from routing.models import CallRecord

log = structlog.get_logger()

SECRET_BYTES = 32
MAX_ID_CHARS = 64
MAX_CONNECTIONS = 4_096
"""A router and a model replica have one each. Beyond it a peer goes by actor calls."""
HANDSHAKE_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
"""A client that does not read its reply for this long is disconnected."""
RECORDS_SILENT_S = 15.0
"""After a longer silence at the end of its connection, its last call records may not have arrived."""
# aiohttp would log malformed requests with their text, which may be anything.
_silent = logging.Logger("cost transport", logging.CRITICAL + 1)


class CallRecordIntake(Protocol):
    """The receiver of the model replicas' call records."""

    def replica_connected(self, replica_id: str) -> None: ...

    def add_call_records(self, records: Iterable[CallRecord]) -> None: ...

    def replica_complete(self, replica_id: str, kept_s: float) -> None: ...

    @property
    def ping(self) -> int: ...

    def replica_replied(self, replica_id: str, ping: int) -> None: ...

    def replica_disconnected(
        self, replica_id: str, *, records_lost: bool, taken_over_by: str | None = None
    ) -> None: ...


class TransportServer:
    """Accept batches on connections that carry the secret in their handshake, and reply to each once it is durable."""

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
            await close_in_time(connection)
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
        if len(self._connections) >= MAX_CONNECTIONS:
            log.warning("cost connection refused", error="too many connections")
            return web.Response(status=503)
        with_records = self._records is not None and request.headers.get(CONTENT_HEADER) == CALL_RECORDS
        connection = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, compress=False, max_msg_size=MAX_MESSAGE_BYTES, autoping=not with_records
        )
        await connection.prepare(request)
        detect_dead_peer(connection.get_extra_info("socket"))
        self._connections.add(connection)
        try:
            if self._records is not None and with_records:
                await _receive_records(connection, request.headers, self._records)
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


async def _receive_records(
    connection: web.WebSocketResponse, headers: Mapping[str, str], records: CallRecordIntake
) -> None:
    """Hand on the call records of one model replica until its connection ends."""
    # A replica of an older version names neither: no other connection is taken for its return.
    replica_id = headers.get(REPLICA_HEADER, "")[:MAX_ID_CHARS] or secrets.token_hex(16)
    kept_s = _seconds(headers.get(KEPT_HEADER, ""))
    records.replica_connected(replica_id)
    received_at_s, resent, pinged = time.monotonic(), False, records.ping
    try:
        async for message in connection:
            received_at_s = time.monotonic()
            if message.type is WSMsgType.PING:
                await connection.pong(message.data)
                continue
            if message.type is WSMsgType.PONG:
                records.replica_replied(replica_id, _number(message.data))
                continue
            if message.type is not WSMsgType.BINARY:
                raise BadMessage("a message is not binary or too long")
            received = unpack_records(message.data)
            records.add_call_records(received)
            if not received and not resent:
                # The first empty message follows all records that the replica kept.
                resent = True
                records.replica_complete(replica_id, kept_s)
            if records.ping != pinged:
                # An empty message comes every few seconds, so that each replica is pinged soon.
                pinged = records.ping
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await connection.ping(str(pinged).encode())
    finally:
        # A killed replica's last records arrive before its connection ends; an unreachable one is silent for long.
        records_lost = time.monotonic() - received_at_s > RECORDS_SILENT_S
        taken_over_by = headers.get(TAKEN_OVER_HEADER) if resent else None
        records.replica_disconnected(replica_id, records_lost=records_lost, taken_over_by=taken_over_by)


def _seconds(header: str) -> float:
    try:
        seconds = float(header)
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds < math.inf else 0.0


def _number(pong: bytes) -> int:
    return int(pong) if pong.isdigit() else -1


def _log_end(error: Exception) -> None:
    """Log why a connection ended, unless its client just left."""
    if isinstance(error, BadMessage):
        log.warning("cost connection closed", error=str(error))
    elif not isinstance(error, ConnectionError):
        log.error("cost connection closed", error=type(error).__name__)
