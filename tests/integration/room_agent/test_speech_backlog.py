"""Check that data buffered for a vendor that stops reading and leaves is billed where it may have arrived."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from room_agent.usage.meter import SpeechMeter, metered_stt_session

PIECE_BYTES = 1_600
FRAME_BYTES = PIECE_BYTES + 8
"""A piece, its header and its mask."""


class Slow:
    """A vendor that accepts a websocket, reads nothing until `leaves` is set, and half-closes before it reads on."""

    def __init__(self) -> None:
        self.leaves, self.left = asyncio.Event(), asyncio.Event()
        self.arrived_bytes = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._take, "127.0.0.1", 0, limit=4_096) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/?model=nova-3"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        key = next(line.partition(b": ")[2] for line in head if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await self.leaves.wait()
        writer.write_eof()
        await asyncio.sleep(0.2)
        while piece := await reader.read(65_536):
            self.arrived_bytes += len(piece)
        writer.close()
        self.left.set()


async def test_a_piece_that_waited_when_the_vendor_left_stays_on_the_bill() -> None:
    vendor, usage = Slow(), SpeechMeter(time.time)
    async with asyncio.timeout(60), vendor.running() as url, metered_stt_session(usage) as http:
        socket = await http.ws_connect(url)
        speaking = asyncio.create_task(_speak(socket))
        sealed_ms = -1
        while sealed_ms != usage.audio_ms:
            sealed_ms = usage.audio_ms
            await asyncio.sleep(0.2)
        told_ms = sum(event.audio_ms for event in usage.due())
        vendor.leaves.set()
        await asyncio.wait({speaking})
        await vendor.left.wait()
    arrived_ms = vendor.arrived_bytes // FRAME_BYTES * 50
    assert told_ms == arrived_ms == usage.audio_ms
    assert sum(event.audio_ms for event in usage.due()) == told_ms


async def _speak(socket: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(ConnectionError):
        while True:
            await socket.send_bytes(bytes(PIECE_BYTES))
