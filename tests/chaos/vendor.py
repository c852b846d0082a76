"""A vendor with its own log: each call's marker, and the tokens written until it noticed its caller's end."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from routing.models import Usage

PIECES = 5
"""The pieces of an answer, evenly spread over its time."""


@dataclass(slots=True, kw_only=True)
class VendorLine:
    """One call in the vendor's log. `finished` says that its usage was sent whole."""

    event_id: str
    tenant_id: str
    model: str
    input_tokens: int
    output_tokens: int = 0
    finished: bool = False

    @property
    def usage(self) -> Usage:
        return Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens)


class Vendor:
    """A server on a Unix socket. It streams pieces, then the usage, and logs all that it produced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[VendorLine] = []

    async def serve(self) -> None:
        """Serve until cancelled."""
        async with await asyncio.start_unix_server(self._answer, self.path) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._stream(json.loads(await reader.readuntil()), reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _stream(
        self, call: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        names = ("event_id", "tenant_id", "model", "input_tokens")
        line = VendorLine(**{name: call[name] for name in names})  # type: ignore[arg-type]
        self.lines.append(line)
        tokens, seconds = int(str(call["output_tokens"])), float(str(call["seconds"]))
        left = asyncio.create_task(reader.read(1))
        try:
            await send_line(writer, {"input_tokens": line.input_tokens})
            for piece in range(PIECES):
                begun_s, piece_s = time.monotonic(), seconds / PIECES
                added = tokens // PIECES + (tokens % PIECES if piece == PIECES - 1 else 0)
                await asyncio.wait({left}, timeout=piece_s)
                if left.done():
                    # The part of this piece that is written is billed too.
                    line.output_tokens += int(added * min(1.0, (time.monotonic() - begun_s) / piece_s))
                    return
                line.output_tokens += added
                await send_line(writer, {"text": "word" * added})
            line.finished = True
            await send_line(writer, {"input_tokens": line.input_tokens, "output_tokens": line.output_tokens})
        finally:
            left.cancel()


async def send_line(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    """Send one message as a line of JSON; raises ConnectionError."""
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()
