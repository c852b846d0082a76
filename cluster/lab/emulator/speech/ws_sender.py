"""Send the messages of one websocket, each when it is due, and inject the fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http_websocket import WebSocketWriter

from cluster.lab.emulator.core.faults import Fault
from cluster.lab.emulator.core.protocol import GARBAGE
from cluster.lab.emulator.core.request import EmulatorState
from cluster.lab.emulator.core.response_writer import ConnectionBroken, ResponseWriter

MAX_QUEUED: Final = 10_000
"""More than the results of one hour of speech."""
OVERLOADED_CODE: Final = 1011
ORDERLY_CODE: Final = 1000
CLOSE_TIMEOUT_S: Final = 2.0
MAX_MESSAGE_BYTES: Final = 1024 * 1024

Message = dict[str, Any]
Close = tuple[int, str]
"""The code and the reason of a close frame."""
DONE: Final[Close] = (ORDERLY_CODE, "")
DISCONNECTED: Final[Close] = (ORDERLY_CODE, "")
"""The answer to a client that closed the socket, or is gone."""


def speech_socket() -> web.WebSocketResponse:
    """Return the server's end of a socket, not yet prepared."""
    return web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, max_msg_size=MAX_MESSAGE_BYTES)


class WsSender:
    """Sends the queued messages in order. A fault counts messages with content as chunks, and no others."""

    def __init__(self, state: EmulatorState, request: web.Request, socket: web.WebSocketResponse, fault: Fault) -> None:
        self._state, self._request, self._socket, self._fault = state, request, socket, fault
        self._queue: asyncio.Queue[tuple[float, Message, bool] | None] = asyncio.Queue(MAX_QUEUED)
        self._chunks = self._bytes = 0
        self._stalled = False

    async def put(self, message: Message, delay_s: float = 0.0, chunk: bool = False) -> None:
        """Queue `message`, to be sent after `delay_s` and after all earlier messages; dropped if the socket breaks."""
        await self._queue.put((self._state.clock() + delay_s, message, chunk))

    async def run(self) -> None:
        """Send queued messages until the end marker, or until the socket breaks."""
        while (queued := await self._queue.get()) is not None:
            due_s, message, chunk = queued
            await self._state.sleep(max(0.0, due_s - self._state.clock()))
            try:
                text = GARBAGE.decode() if self._fault.garbage else json.dumps(message)
                self._bytes += len(text)
                await self._inject_fault()
                await self._socket.send_str(text)
            except (ConnectionBroken, ConnectionError):
                return
            self._chunks += chunk

    async def drain(self, task: asyncio.Task[None]) -> None:
        """Wait until all messages are sent or the client disconnects."""
        await self._queue.put(None)
        disconnect = asyncio.create_task(self._wait_for_disconnect())
        try:
            await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            disconnect.cancel()
            await asyncio.wait({disconnect})

    async def _wait_for_disconnect(self) -> None:
        async for _ in self._socket:
            pass

    async def _inject_fault(self) -> None:
        """Inject the fault planned for this chunk; raises ConnectionBroken if it ends the socket."""
        fault = self._fault
        if self._chunks == fault.stall_after_chunks and not self._stalled:
            self._stalled = True
            await self._state.sleep(fault.stall_s)
        # A message is sent as a whole, so the one that would pass the byte limit is not sent.
        fatal = fault.reset_after_bytes is not None and self._bytes > fault.reset_after_bytes
        if fatal or self._chunks == fault.reset_after_chunks:
            await ResponseWriter(self._request).reset()
        if self._chunks == fault.overload_after_chunks:
            await self._close(OVERLOADED_CODE, "overloaded")
        if self._chunks == fault.cut_after_chunks:
            await self._close(fault.close_code or ORDERLY_CODE, fault.code or "")

    async def _close(self, code: int, reason: str) -> None:
        # The socket's own close would discard messages that arrive before the client's close frame.
        transport = self._request.transport
        if transport is not None:
            await WebSocketWriter(self._request.protocol, transport).close(code, reason)
        raise ConnectionBroken


@asynccontextmanager
async def sending(
    state: EmulatorState, request: web.Request, socket: web.WebSocketResponse, fault: Fault
) -> AsyncIterator[WsSender]:
    """Yield a sender. At the end of the block all queued messages are sent, unless the client has disconnected."""
    sender = WsSender(state, request, socket, fault)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
        if not socket.closed:
            await sender.drain(task)
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        # Re-raise an unexpected error of the sender in the handler.
        task.result()
