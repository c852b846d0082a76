"""The cost transport between a replica and the aggregator: one TCP connection, one batch in flight, no actor call.

A frame is a 4-byte big-endian length and JSON. The first frame is a shared secret; each batch gets one reply.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, cast

import structlog

from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Intent, Outcome, Settlement, Usage

log = structlog.get_logger()

T = TypeVar("T")

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Ten times the size of the outbox's largest batch."""

_INTENT, _SETTLEMENT = (tuple(one.name for one in fields(kind)) for kind in (Intent, Settlement))
_of_intent, _of_settlement = attrgetter(*_INTENT), attrgetter(*_SETTLEMENT)
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class BadMessage(ValueError):
    """A frame cannot be decoded. The message never quotes its content, which may hold tenant data."""


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Encode entries as JSON rows of values in the order of their fields: the names would be half of every frame."""
    return _dump([_row(entry) for entry in entries]).encode()


def unpack_entries(frame: bytes) -> list[Entry]:
    """Decode a frame of entries; raises BadMessage."""
    return _read(frame, lambda rows: [_entry(row) for row in rows])


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Encode receipts: a number, the facts of a BudgetExceeded, or null for a room that was closed."""
    return _dump([_receipt_row(receipt) for receipt in receipts]).encode()


def _receipt_row(receipt: Receipt) -> Any:
    if isinstance(receipt, RoomClosed):
        return None
    return receipt.facts if isinstance(receipt, BudgetExceeded) else receipt


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Encode the reply to a batch of which no entry was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(frame: bytes) -> list[Receipt]:
    """Decode a frame of receipts; raises CostsUnavailable when it is a refusal, or BadMessage."""
    return _read(frame, _receipts)


class MessageReader:
    """Split a byte stream into its length-prefixed frames."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> bytes | None:
        """Return the next whole frame, or None while it is incomplete; raises BadMessage for one above `max_bytes`."""
        if len(self._held) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._held[:LENGTH_BYTES])
        if size > self.max_bytes:
            raise BadMessage("a frame is longer than the limit")
        end = LENGTH_BYTES + size
        if len(self._held) < end:
            return None
        frame = bytes(self._held[LENGTH_BYTES:end])
        del self._held[:end]
        return frame


def framed(frame: bytes) -> bytes:
    """Return a frame with its length prefix."""
    return len(frame).to_bytes(LENGTH_BYTES) + frame


def _row(entry: Entry) -> list[Any]:
    if isinstance(entry, Intent):
        return list(_of_intent(entry))
    return [value.nonzero() if isinstance(value, Usage) else value for value in _of_settlement(entry)]


def _entry(row: list[Any]) -> Entry:
    if len(row) == len(_INTENT):
        return Intent(**dict(zip(_INTENT, row, strict=True)))
    values = dict(zip(_SETTLEMENT, row, strict=True))
    return Settlement(**{**values, "outcome": Outcome(values["outcome"]), "usage": Usage(**values["usage"])})


def _receipts(answer: Any) -> list[Receipt]:
    if isinstance(answer, dict):
        raise CostsUnavailable(retry_after_s=answer["retry_after_s"])
    return [_receipt(row) for row in answer]


def _receipt(row: Any) -> Receipt:
    if row is None:
        return RoomClosed(param="authorization")
    return row if isinstance(row, int) else BudgetExceeded(**row)


def _read(frame: bytes, of: Callable[[Any], T]) -> T:
    try:
        return of(json.loads(frame))
    except (ValueError, TypeError, LookupError, AttributeError):
        raise BadMessage("a frame cannot be decoded") from None


SECRET_BYTES = 32
SECRET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 0.5
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 600.0

Write = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportAddress:
    """The aggregator's host and port, and the secret that a connection must begin with. New at every start."""

    host: str
    port: int
    secret: bytes = field(repr=False)


class TransportServer:
    """Accept batches on connections that begin with the secret, and reply to each once it is durable."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._server: asyncio.Server | None = None
        self._connections: set[_ServerConnection] = set()

    async def listen(self, host: str) -> TransportAddress:
        """Listen on a free port of this one address and return it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _ServerConnection(self._write, self._secret, self._connections), host, 0
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return TransportAddress(host=host, port=port, secret=self._secret)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()


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
        self._connection: _ClientConnection | None = None
        self._retry_at_s = -1.0
        self._retry_in_s = FIRST_RETRY_S
        self._warned = False

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        """Return the entries' receipts; raises CostsUnavailable, or the error that broke the connection.

        One batch at a time. A cancelled call closes the connection: its late reply would be read as the next batch's.
        """
        connection = await self._connected()
        return await (self._call(entries) if connection is None else connection.send_batch(entries))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    async def _connected(self) -> _ClientConnection | None:
        if self._connection is not None and self._connection.open:
            return self._connection
        if self._clock() < self._retry_at_s:
            return None
        try:
            self._connection = await _connect(await self._find())
        except OSError as error:
            self._unreachable(error)
            return None
        self._retry_in_s = FIRST_RETRY_S
        return self._connection

    def _unreachable(self, error: OSError) -> None:
        self._retry_at_s = self._clock() + self._retry_in_s
        self._retry_in_s = min(2 * self._retry_in_s, LONGEST_RETRY_S)
        if not self._warned:
            self._warned = True
            log.warning(
                "aggregator port unreached",
                error=type(error).__name__,
                effect="costs go by actor calls, which are slower",
                remedy="open the nodes' ports to each other",
            )


class _Connection(asyncio.Protocol):
    """One end of a connection. A frame that cannot be decoded closes it."""

    def __init__(self, max_bytes: int) -> None:
        self._frames = MessageReader(max_bytes)
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Replicas run uvloop: its transport has the interface of asyncio.Transport but not the base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            while self.open and (frame := self._frames.next()) is not None:
                self.received(frame)
        except BadMessage as error:
            log.warning("cost connection closed", error=str(error))
            self.abort()

    def received(self, frame: bytes) -> None:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(framed(frame))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _ServerConnection(_Connection):
    """The aggregator's end: accepts only the secret at first, then one batch at a time."""

    def __init__(self, write: Write, secret: bytes, connections: set[_ServerConnection]) -> None:
        super().__init__(max_bytes=SECRET_BYTES)
        self._write = write
        self._secret = secret
        self._connections = connections
        self._authenticated = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(SECRET_TIMEOUT_S, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        # A batch under way is still written: the client resends it with the same ids, and no entry counts twice.
        self._connections.discard(self)
        self._cancel_timer()

    def received(self, frame: bytes) -> None:
        if not self._authenticated:
            if not hmac.compare_digest(frame, self._secret):
                raise BadMessage("the secret is wrong")
            self._authenticated, self._frames.max_bytes = True, MAX_FRAME_BYTES
            self._cancel_timer()
            return
        if self._writing is not None and not self._writing.done():
            raise BadMessage("a batch arrived before the reply to the last one")
        self._writing = asyncio.get_running_loop().create_task(self._write_batch(unpack_entries(frame)))

    async def _write_batch(self, entries: list[Entry]) -> None:
        try:
            self.send(pack_receipts(await self._write(entries)))
        except CostsUnavailable as refusal:
            self.send(pack_refusal(refusal))
        except Exception as error:
            log.error("cost batch failed", error=type(error).__name__)
            self.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _ClientConnection(_Connection):
    """The replica's end: each reply belongs to the last batch."""

    def __init__(self) -> None:
        super().__init__(max_bytes=MAX_FRAME_BYTES)
        self._reply: asyncio.Future[bytes] | None = None

    async def send_batch(self, entries: list[Entry]) -> list[Receipt]:
        self._reply = asyncio.get_running_loop().create_future()
        self.send(pack_entries(entries))
        try:
            return unpack_receipts(await self._reply)
        except (asyncio.CancelledError, BadMessage):
            self.abort()
            raise

    def received(self, frame: bytes) -> None:
        if self._reply is None or self._reply.done():
            raise BadMessage("a reply arrived that no batch waits for")
        self._reply.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionResetError("the cost connection broke"))


async def _connect(address: TransportAddress) -> _ClientConnection:
    """Connect and send the secret; raises OSError."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        _, connection = await asyncio.get_running_loop().create_connection(
            _ClientConnection, address.host, address.port
        )
    connection.send(address.secret)
    return connection
