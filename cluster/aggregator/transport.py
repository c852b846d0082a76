"""The line from a replica to the aggregator: one connection, one batch on it at a time, no actor call. Knows no Ray."""

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

from cluster.costs.commit_log import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Outcome, Settlement, Usage

log = structlog.get_logger()

T = TypeVar("T")

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Ten times what the largest batch of an outbox comes to."""

_INTENT, _SETTLEMENT = (tuple(one.name for one in fields(kind)) for kind in (Intent, Settlement))
_of_intent, _of_settlement = attrgetter(*_INTENT), attrgetter(*_SETTLEMENT)
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class BadMessage(ValueError):
    """What arrived is no frame of ours. Says nothing of what was in it."""


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Return entries as rows of values in their fields' order: the names would be half of every frame."""
    return _dump([_row(entry) for entry in entries]).encode()


def unpack_entries(frame: bytes) -> list[Entry]:
    """Return the entries of a frame; raises BadFrame."""
    return _read(frame, lambda rows: [_entry(row) for row in rows])


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    return _dump([one.facts if isinstance(one, BudgetExceeded) else one for one in receipts]).encode()


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Return the answer to entries of which none was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(frame: bytes) -> list[Receipt]:
    """Return the receipts of a frame; raises CostsUnavailable where it is a refusal, or BadFrame."""
    return _read(frame, _receipts)


class MessageReader:
    """Cuts a stream of bytes into its frames, each with its length before it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> bytes | None:
        """Return the next whole frame, or None where more has to come; raises BadFrame for one that is too long."""
        if len(self._held) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._held[:LENGTH_BYTES])
        if size > self.max_bytes:
            raise BadMessage("a frame is longer than it may be")
        end = LENGTH_BYTES + size
        if len(self._held) < end:
            return None
        frame = bytes(self._held[LENGTH_BYTES:end])
        del self._held[:end]
        return frame


def framed(frame: bytes) -> bytes:
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
    return [one if isinstance(one, int) else BudgetExceeded(**one) for one in answer]


def _read(frame: bytes, of: Callable[[Any], T]) -> T:
    try:
        return of(json.loads(frame))
    except (ValueError, TypeError, LookupError, AttributeError):
        raise BadMessage("a frame cannot be read") from None


SECRET_BYTES = 32
GREETING_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 0.5
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 600.0

Write = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportAddress:
    """Where the aggregator listens, and what a caller has to say first. Both are new whenever it starts."""

    host: str
    port: int
    secret: bytes = field(repr=False)


class TransportServer:
    """Takes batches from whoever knows the secret, and answers each when it is durable."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._server: asyncio.Server | None = None
        self._callers: set[_Caller] = set()

    async def listen(self, host: str) -> TransportAddress:
        """Open a port on this one address; returns where it is."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Caller(self._write, self._secret, self._callers), host, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return TransportAddress(host=host, port=port, secret=self._secret)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for caller in list(self._callers):
            caller.abort()


class CostTransport:
    """Sends batches over a connection that is made anew when it breaks, or by `call` while none can be made.

    `find` asks the aggregator itself where it is: it may have started again elsewhere.
    """

    def __init__(
        self, find: Callable[[], Awaitable[TransportAddress]], call: Write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._call = call
        self._clock = clock
        self._link: _Link | None = None
        self._retry_at_s = -1.0
        self._retry_in_s = FIRST_RETRY_S
        self._told = False

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        """Return the entries' receipts; raises CostsUnavailable, or whatever broke the connection.

        One batch at a time. Whoever stops waiting breaks the line: an answer that comes late is another batch's.
        """
        link = await self._connected()
        return await (self._call(entries) if link is None else link.ask(entries))

    def close(self) -> None:
        if self._link is not None:
            self._link.abort()

    async def _connected(self) -> _Link | None:
        if self._link is not None and self._link.open:
            return self._link
        if self._clock() < self._retry_at_s:
            return None
        try:
            self._link = await _dial(await self._find())
        except OSError as error:
            self._unreachable(error)
            return None
        self._retry_in_s = FIRST_RETRY_S
        return self._link

    def _unreachable(self, error: OSError) -> None:
        self._retry_at_s = self._clock() + self._retry_in_s
        self._retry_in_s = min(2 * self._retry_in_s, LONGEST_RETRY_S)
        if not self._told:
            self._told = True
            log.warning(
                "the aggregator's port cannot be reached from this node: costs go by actor calls, which is slower;"
                " open the nodes' ports to each other",
                error=type(error).__name__,
            )


class _Peer(asyncio.Protocol):
    """One end of a connection, frame by frame. What cannot be read ends it."""

    def __init__(self, max_bytes: int) -> None:
        self._frames = MessageReader(max_bytes)
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's, which replicas have, is a Transport in all but its base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            while self.open and (frame := self._frames.next()) is not None:
                self.received(frame)
        except BadMessage as error:
            log.warning("a connection of the cost line was cut", error=str(error))
            self.abort()

    def received(self, frame: bytes) -> None:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(framed(frame))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Caller(_Peer):
    """The aggregator's end: a stranger until it has said the secret, then one batch at a time."""

    def __init__(self, write: Write, secret: bytes, callers: set[_Caller]) -> None:
        super().__init__(max_bytes=SECRET_BYTES)
        self._write = write
        self._secret = secret
        self._callers = callers
        self._greeted = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._callers.add(self)
        self._timer = asyncio.get_running_loop().call_later(GREETING_TIMEOUT_S, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        # What was taken is still written: its caller sends it again, by the same ids.
        self._callers.discard(self)
        self._quiet()

    def received(self, frame: bytes) -> None:
        if not self._greeted:
            if not hmac.compare_digest(frame, self._secret):
                raise BadMessage("the secret is wrong")
            self._greeted, self._frames.max_bytes = True, MAX_FRAME_BYTES
            self._quiet()
            return
        if self._writing is not None and not self._writing.done():
            raise BadMessage("a batch came before the last one was answered")
        self._writing = asyncio.get_running_loop().create_task(self._answer(unpack_entries(frame)))

    async def _answer(self, entries: list[Entry]) -> None:
        try:
            self.send(pack_receipts(await self._write(entries)))
        except CostsUnavailable as refusal:
            self.send(pack_refusal(refusal))
        except Exception as error:
            log.error("a batch of costs failed", error=type(error).__name__)
            self.abort()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Link(_Peer):
    """The replica's end: what it asked last is answered next."""

    def __init__(self) -> None:
        super().__init__(max_bytes=MAX_FRAME_BYTES)
        self._asked: asyncio.Future[bytes] | None = None

    async def ask(self, entries: list[Entry]) -> list[Receipt]:
        self._asked = asyncio.get_running_loop().create_future()
        self.send(pack_entries(entries))
        try:
            return unpack_receipts(await self._asked)
        except (asyncio.CancelledError, BadMessage):
            self.abort()
            raise

    def received(self, frame: bytes) -> None:
        if self._asked is None or self._asked.done():
            raise BadMessage("an answer came that nobody waits for")
        self._asked.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionResetError("the cost line broke"))


async def _dial(address: TransportAddress) -> _Link:
    """Return a connection that has said the secret; raises OSError."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        _, link = await asyncio.get_running_loop().create_connection(_Link, address.host, address.port)
    link.send(address.secret)
    return link
