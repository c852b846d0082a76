"""Write a response to its connection, and break the connection at a given byte."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct

from aiohttp import web

# The linger option (on, 0 seconds): closing sends a reset instead of an orderly shutdown.
_RESET = struct.pack("ii", 1, 0)
_MAX_ITERATIONS = 100
"""Limits the wait for a client that keeps sending."""


class ConnectionBroken(Exception):
    """A fault broke this connection; the request's handler catches it."""


class ResponseWriter:
    """Writes one response. `reset` and every write past the last allowed byte raise ConnectionBroken."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._bytes_left: int | None = None
        self.response = web.StreamResponse()

    def break_after(self, body_bytes: int | None) -> None:
        """Break the connection after this many bytes of the body; at 0, before the status line."""
        self._bytes_left = body_bytes

    async def begin(self, headers: dict[str, str]) -> None:
        """Send the status line and the headers of a stream."""
        self.response.headers.update(headers)
        await self._start()

    async def write(self, data: bytes) -> None:
        if self._bytes_left is None:
            await self.response.write(data)
            return
        part, self._bytes_left = data[: self._bytes_left], self._bytes_left - len(data)
        if part:
            await self.response.write(part)
        if self._bytes_left <= 0:
            await self.reset()

    async def complete(self, response: web.Response) -> web.StreamResponse:
        """Return `response` unchanged without a fault; otherwise send it up to the byte where the fault breaks it."""
        if self._bytes_left is None:
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
        # aiohttp delays the headers to send them with the first bytes of the body; one loop iteration flushes them.
        await asyncio.sleep(0)
        if transport is not None and not transport.is_closing():
            await _wait_until_read(transport)
            _reset(transport)
        raise ConnectionBroken

    async def _start(self) -> None:
        if self._bytes_left is not None and self._bytes_left <= 0:
            await self.reset()
        await self.response.prepare(self._request)


async def _wait_until_read(transport: asyncio.Transport) -> None:
    """Wait until the received bytes are read, because a vendor charges for all audio that it received."""
    readable = select.poll()
    readable.register(transport.get_extra_info("socket"), select.POLLIN)
    for _ in range(_MAX_ITERATIONS):
        if transport.is_closing() or not readable.poll(0):
            return
        await asyncio.sleep(0)


def _reset(transport: asyncio.Transport) -> None:
    """Close the socket at once. The transport would close it one iteration later and drop bytes received meanwhile."""
    if transport.is_closing():
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    with socket.socket() as replacement:
        os.dup2(replacement.fileno(), connection.fileno())
