"""Run a model replica's part of the money path: it streams a vendor's answer, and records the call twice."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.aggregator.call_records import CallRecordOutbox
from cluster.aggregator.deployment import aggregator_settings
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.transport import TransportAddress
from cluster.config.settings import BackendSettings, CostSettings
from deployments.call_recorder import CallRecorder
from routing.catalogue import load_catalogue
from routing.errors import CostsUnavailable
from routing.models import Delta, ModelRequest, Usage
from tests.chaos.vendor import send_line

PROBE_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafPlan:
    """The sockets of one model replica, and the file with the aggregator's address."""

    socket: Path
    vendor: Path
    address: Path


class AddressFile(AggregatorHandle):
    """Finds the aggregator by a file instead of an actor call; both wait until it runs again."""

    def __init__(self, path: Path) -> None:
        super().__init__(aggregator_settings(CostSettings(), BackendSettings(), {}, now_s=0.0))
        self._path = path

    async def call(self, method: str, *values: object) -> Any:
        """Return the address; every other method needs an actor, and raises CostsUnavailable."""
        if method != "address":
            raise CostsUnavailable(retry_after_s=0.1)
        return await self.find()

    async def find(self) -> TransportAddress:
        """Return the address once a connection to it can be made."""
        while True:
            with suppress(OSError, ValueError):
                address = TransportAddress(**json.loads(self._path.read_text("ascii")))
                _, writer = await asyncio.open_connection(address.host, address.port)
                writer.close()
                return address
            await asyncio.sleep(PROBE_EVERY_S)


class LeafProcess:
    """Serve calls on a Unix socket: one connection a call, and its end cancels the vendor's answer."""

    def __init__(self, plan: LeafPlan) -> None:
        self._plan = plan
        self._records = CallRecordOutbox(AddressFile(plan.address), plan.address.with_suffix(".calls"))
        self._calls = CallRecorder(load_catalogue(), self._records, lambda: dt.datetime.now(dt.UTC).date())
        self._models = load_catalogue()

    async def run(self) -> None:
        self._records.start()
        self._plan.socket.unlink(missing_ok=True)
        async with await asyncio.start_unix_server(self._serve, self._plan.socket) as server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            call = json.loads(await reader.readuntil())
            streaming = asyncio.create_task(self._stream(call, writer))
            left = asyncio.create_task(reader.read(1))
            await asyncio.wait({streaming, left}, return_when=asyncio.FIRST_COMPLETED)
            for task in (streaming, left):
                task.cancel()
            await asyncio.wait({streaming, left})
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _stream(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        request = ModelRequest(model=message["model"], event_id=message["event_id"])
        most = Usage(**message["most"])
        with (
            suppress(ConnectionError, asyncio.IncompleteReadError),
            self._calls.call(self._models.get(request.model), request, most) as call,
        ):
            async with connected(self._plan.vendor) as (reader, to_vendor):
                call.mark_sent()
                await send_line(to_vendor, message)
                while not call.received.finished:
                    line = json.loads(await reader.readuntil())
                    call.received.add(delta_of(line))
                    await send_line(writer, line)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection to a Unix socket; raises OSError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()


def delta_of(line: dict[str, Any]) -> Delta:
    """Return the piece of an answer that a vendor's line carries."""
    if "text" in line:
        return Delta(text=line["text"])
    if "output_tokens" in line:
        return Delta(finish="stop", usage=Usage(**line))
    return Delta(usage_so_far=Usage(**line))


def serve_leaf(plan: LeafPlan) -> None:
    """Be the process."""
    asyncio.run(LeafProcess(plan).run())
