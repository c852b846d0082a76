"""Write a response to its connection, and break the connection at a given byte."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct

from aiohttp import web

# Close at once with a reset, rather than in good order: on, after no seconds.
_RESET = struct.pack("ii", 1, 0)
_MOST_TURNS = 100
"""A sender that never stops is not waited for."""


class ConnectionBroken(Exception):
    """A fault broke this connection; caught where the request ends."""


class ResponseWriter:
    """One response. `reset` and every write past the fatal byte raise ConnectionBroken."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._left: int | None = None
        self.response = web.StreamResponse()

    def break_after(self, body_bytes: int | None) -> None:
        """Break the connection after so many bytes of the body; at 0, before the status line."""
        self._left = body_bytes

    async def begin(self, headers: dict[str, str]) -> None:
        """Send the status line and the headers of a stream."""
        self.response.headers.update(headers)
        await self._start()

    async def write(self, data: bytes) -> None:
        if self._left is None:
            await self.response.write(data)
            return
        part, self._left = data[: self._left], self._left - len(data)
        if part:
            await self.response.write(part)
        if self._left <= 0:
            await self.reset()

    async def whole(self, response: web.Response) -> web.StreamResponse:
        """Return an answer to be sent as it is, or send as much of it as the fault lets through."""
        if self._left is None:
            return response
        self.response = web.StreamResponse(status=response.status, headers=response.headers)
        body = response.body if isinstance(response.body, bytes) else b""
        self.response.content_length = len(body)
        await self._start()
        await self.write(body)
        return self.response

    async def reset(self) -> None:
        """Reset the connection after sending the written bytes and reading the received ones."""
        transport = self._request.transport
        # aiohttp holds the headers back to send them with the first bytes: one turn lets them go.
        await asyncio.sleep(0)
        if transport is not None and not transport.is_closing():
            await _all_taken(transport)
            _reset(transport)
        raise ConnectionBroken

    async def _start(self) -> None:
        if self._left is not None and self._left <= 0:
            await self.reset()
        await self.response.prepare(self._request)


async def _all_taken(transport: asyncio.Transport) -> None:
    """Wait until the received bytes are read: a vendor charges for the audio that reached it."""
    came = select.poll()
    came.register(transport.get_extra_info("socket"), select.POLLIN)
    for _ in range(_MOST_TURNS):
        if transport.is_closing() or not came.poll(0):
            return
        await asyncio.sleep(0)


def _reset(transport: asyncio.Transport) -> None:
    """Close the socket at once: the transport closes one iteration later, and would lose bytes received between."""
    if transport.is_closing():
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    with socket.socket() as spare:
        os.dup2(spare.fileno(), connection.fileno())
