"""Check that data buffered for a vendor that stops reading and disconnects is billed if it may have arrived."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from room_agent.usage.meter import SpeechMeter, metered_stt_session

CHUNK_BYTES = 1_600
FRAME_BYTES = CHUNK_BYTES + 8
"""The bytes of a chunk, its header and its mask."""


class StalledVendor:
    """A vendor that accepts a websocket, reads nothing until `disconnect` is set, half-closes, and reads the rest."""

    def __init__(self) -> None:
        self.disconnect, self.disconnected = asyncio.Event(), asyncio.Event()
        self.arrived_bytes = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._handle, "127.0.0.1", 0, limit=4_096) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/?model=nova-3"

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        key = next(line.partition(b": ")[2] for line in request_lines if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await self.disconnect.wait()
        writer.write_eof()
        await asyncio.sleep(0.2)
        while chunk := await reader.read(65_536):
            self.arrived_bytes += len(chunk)
        writer.close()
        self.disconnected.set()


async def test_buffered_audio_is_billed_if_the_vendor_disconnects() -> None:
    vendor, usage = StalledVendor(), SpeechMeter(time.time)
    async with asyncio.timeout(60), vendor.running() as url, metered_stt_session(usage) as http:
        socket = await http.ws_connect(url)
        sending = asyncio.create_task(_send_audio(socket))
        previous_ms = -1
        while previous_ms != usage.audio_ms:
            previous_ms = usage.audio_ms
            await asyncio.sleep(0.2)
        billed_ms = sum(event.audio_ms for event in usage.due())
        vendor.disconnect.set()
        await asyncio.wait({sending})
        await vendor.disconnected.wait()
    arrived_ms = vendor.arrived_bytes // FRAME_BYTES * 50
    assert billed_ms == arrived_ms == usage.audio_ms
    assert sum(event.audio_ms for event in usage.due()) == billed_ms


async def _send_audio(socket: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(ConnectionError):
        while True:
            await socket.send_bytes(bytes(CHUNK_BYTES))
