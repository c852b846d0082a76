"""A connection without the secret, with another wire version or without a whole handshake is refused."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from structlog.testing import capture_logs

from cluster.aggregator import transport_server
from cluster.aggregator.messages import WIRE_VERSION, pack_entries
from tests.integration.cluster.cost_links import DEADLINE_S, Aggregator
from tests.support.cost_entries import intent


@pytest.mark.parametrize("secret", ["", "x" * 64, "\udcff"])
async def test_a_connection_with_a_wrong_secret_is_refused(aggregator: Aggregator, secret: str) -> None:
    address = await aggregator.find_address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: {secret}\r\n\r\n"
    with capture_logs() as logs:
        writer.write(head.encode(errors="surrogateescape") + pack_entries([intent()]))
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 401")
    writer.close()
    assert aggregator.batches == [] and [entry["event"] for entry in logs] == ["cost connection refused"]


@pytest.mark.parametrize(("change", "status"), [(-2, 426), (-1, 101), (1, 101), (2, 426)])
async def test_only_a_replica_of_a_neighbouring_version_connects(
    aggregator: Aggregator, change: int, status: int
) -> None:
    address = await aggregator.find_address()
    headers = aggregator.headers(address, WIRE_VERSION + change) | {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with aiohttp.ClientSession(headers=headers) as session, session.get(address.url) as response:
        assert response.status == status


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_a_connection_without_a_whole_handshake_is_closed(
    aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(transport_server, "HANDSHAKE_TIMEOUT_S", 0.1)
    address = await aggregator.find_address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(sent)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
