"""Begin a streamed response before its first piece has come: clients leave a server that sends no head."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.api.response_headers import server_timing
from deployments.common.streaming import end
from deployments.gateway.models import RoutedAnswer
from routing.errors import RayroomError
from routing.models import Delta

HEAD_AFTER_S = 2.0
"""Some clients wait only 5 s for the head of a response. Until it leaves, an error still has its own status."""
COMMENT_EVERY_S = 2.0
COMMENT = b": no model has answered yet\n\n"
"""A comment of server-sent events: clients skip it."""

Piece = Delta | RoutedAnswer


class PendingStream:
    """The pieces of an answer, the first of which is awaited in a task that ends with `aclose`."""

    def __init__(self, pieces: AsyncGenerator[Piece, None]) -> None:
        self.pieces = pieces
        self._first = asyncio.ensure_future(anext(pieces))

    async def first_within(self, timeout_s: float) -> Piece | None:
        """Return the first piece, or None if it has not come in time; raises the error of the request."""
        await asyncio.wait({self._first}, timeout=timeout_s)
        return self._first.result() if self._first.done() else None

    async def aclose(self) -> None:
        """Cancel the wait for the first piece, and close the stream."""
        await end(self._first)
        await self.pieces.aclose()


class EventWriter(Protocol):
    """Writes the server-sent events of one answer in the form of its route."""

    def events(self, first: Piece, rest: AsyncGenerator[Piece, None]) -> AsyncIterator[bytes]: ...

    def failed(self, error: RayroomError) -> bytes:
        """Return the events of an error before the first piece."""


class EventStream(StreamingResponse):
    """A streamed answer as server-sent events. It owns the pieces, and closes them however it ends."""

    def __init__(self, pending: PendingStream, first: Piece | None, writer: EventWriter) -> None:
        headers = {"cache-control": "no-store"} | (server_timing(first.vendor_s) if first is not None else {})
        super().__init__(_events(pending, first, writer), headers=headers, media_type="text/event-stream")
        self._pending = pending

    @classmethod
    async def begun(cls, pieces: AsyncGenerator[Piece, None], writer: EventWriter) -> EventStream:
        """Return the response once its first piece has come, or after `HEAD_AFTER_S`; raises an error until then."""
        pending = PendingStream(pieces)
        try:
            first = await pending.first_within(HEAD_AFTER_S)
        except BaseException:
            await pending.aclose()
            raise
        return cls(pending, first, writer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the client leaves.

        Starlette's own way to do both starts a task group of anyio for each stream.
        """
        sending = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(leaving)
            await end(sending)
            # The client may leave before the events are begun, and then nothing else closes the pieces.
            await self._pending.aclose()
        if not sending.cancelled():
            sending.result()


async def _events(pending: PendingStream, first: Piece | None, writer: EventWriter) -> AsyncIterator[bytes]:
    """Yield a comment every while until the first piece, then the events; an error is the last event."""
    try:
        while first is None:
            yield COMMENT
            first = await pending.first_within(COMMENT_EVERY_S)
    except RayroomError as error:
        yield writer.failed(error)
        return
    async for event in writer.events(first, pending.pieces):
        yield event
