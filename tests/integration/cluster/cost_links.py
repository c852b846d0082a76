"""A real aggregator's port, and a relay before it that stops or breaks connections."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from cluster.aggregator.messages import WIRE_VERSION
from cluster.aggregator.transport import AUTHORIZATION, WIRE_VERSION_HEADER, TransportAddress
from cluster.aggregator.transport_server import TransportServer
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Entry, Receipt

HOST = "127.0.0.1"
DEADLINE_S = 30.0


class Aggregator:
    """A real commit log behind a real port, which may start again at another one."""

    def __init__(self, path: Path) -> None:
        self.commit_log = CommitLog(Journal(path / "journal.db"), lambda: 120.0)
        self.server = TransportServer(self.write)
        self.address: TransportAddress | None = None
        self.batches: list[int] = []
        self.actor_calls = 0
        self.received = asyncio.Event()
        self.may_reply = asyncio.Event()
        self.may_reply.set()

    async def find_address(self) -> TransportAddress:
        if self.address is None:
            self.address = await self.server.listen(HOST)
        return self.address

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        self.batches.append(len(entries))
        receipts = await self.commit_log.write(entries)
        self.received.set()
        await self.may_reply.wait()
        return receipts

    async def actor_call(self, entries: list[Entry]) -> list[Receipt]:
        self.actor_calls += 1
        return await self.commit_log.write(entries)

    async def restart(self) -> None:
        await self.server.aclose()
        self.server, self.address = TransportServer(self.write), None

    def headers(self, address: TransportAddress, version: int = WIRE_VERSION) -> dict[str, str]:
        return {AUTHORIZATION: address.secret, WIRE_VERSION_HEADER: str(version)}

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Yield a connection with the right secret, to send anything on."""
        address = await self.find_address()
        async with (
            aiohttp.ClientSession(headers=self.headers(address)) as session,
            session.ws_connect(address.url) as websocket,
        ):
            yield websocket


class Relay:
    """A port between a client and the aggregator that can stop to pass bytes on, or break its connections."""

    def __init__(self, target: TransportAddress) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.passes = asyncio.Event()
        self.passes.set()
        self.connections = 0

    async def address(self) -> TransportAddress:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, 0)
        return dataclasses.replace(self._target, port=self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, far_writer}
        for pair in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(*pair)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self.passes.wait()
            writer.write(data)
        writer.close()
