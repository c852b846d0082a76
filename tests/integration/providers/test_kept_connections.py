"""Occasional requests reuse one connection: real SDKs, and a relay that counts connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from cluster.lab.emulator import Emulator
from room_agent.conversation.llm import RouterLlm
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from tests.integration.providers.connected_adapters import VENDORS, ConnectedAdapters, connected_adapters, model_request
from tests.support.scripted_router import ScriptedRouter

SILENT_S = 16.0
"""Longer than the 5 and 15 s that the libraries under the SDKs keep a connection for."""


class Relay:
    """Passes bytes on to one server."""

    def __init__(self, to: str) -> None:
        self._to = urlsplit(to)
        self.url = ""
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        async with await asyncio.start_server(self._pass, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{self._to.path}"
            yield self

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        await asyncio.gather(_pour(reader, back), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    writer.close()


async def _twice(adapters: ConnectedAdapters, vendor: str) -> int:
    async with Relay(adapters.emulator.url + VENDORS[vendor][0]).running() as relay:
        adapters.provider(vendor, relay.url)
        await adapters.send(vendor, "stream", model_request(vendor))
        await asyncio.sleep(SILENT_S)
        await adapters.send(vendor, "stream", model_request(vendor))
        await adapters.providers.pop(vendor).aclose()
        return relay.connections


async def _connections_to_vendors() -> dict[str, int]:
    async with connected_adapters() as adapters:
        connections = await asyncio.gather(*(_twice(adapters, vendor) for vendor in VENDORS))
    return dict(zip(VENDORS, connections, strict=True))


async def _connections_to_router() -> tuple[int, int]:
    """Return the connections of a room for its chats, and for its other requests."""
    async with (
        Emulator().running() as emulator,
        ScriptedRouter().running() as scripted,
        Relay(f"{emulator.url}/openai").running() as chats,
        Relay(scripted.url).running() as calls,
    ):
        transport = HttpTransport(calls.url)
        router = RouterClient(transport, "k" * 32, "tenant_acme_m", "j", "")
        thinking = RouterLlm(router, chats.url)
        for pause_s in (SILENT_S, 0):
            await router.open()
            assert [words async for words in thinking.answer([{"role": "user", "content": "Hello?"}])]
            await asyncio.sleep(pause_s)
        await thinking.aclose()
        await transport.aclose()
        return chats.connections, calls.connections


async def test_vendors_and_the_router_get_one_connection_though_no_request_came_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VENDOR_KEY", "k")
    # Both at once, because they wait for the same seconds.
    to_vendors, to_router = await asyncio.gather(_connections_to_vendors(), _connections_to_router())
    assert to_vendors == dict.fromkeys(VENDORS, 1) and to_router == (1, 1)
