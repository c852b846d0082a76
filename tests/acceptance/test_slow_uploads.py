"""Clients that send their bodies a byte at a time, against a running app behind HAProxy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from deployments.api.app import BODY_TIMEOUT_S
from deployments.api.uploads import UPLOADS_A_SENDER
from tests.support.stack import Stack, System

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONNECTIONS = 600
BYTE_EVERY_S = 3.0
ANSWER_WITHIN_S = 10.0
"""Far above the time of an answer, also on a busy machine; a replica without a free slot answers later or never."""
LEAVING = 2 * UPLOADS_A_SENDER


class SlowClient:
    """A connection that announces a body of a thousand bytes."""

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url)
        self._token = token

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the streams of a connection on which the headers and one byte were sent."""
        host, port = self._address.hostname or "", self._address.port or 80
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {self._token}\r\n"
        writer.write(f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{".encode())
        await writer.drain()
        return reader, writer

    async def upload(self) -> int:
        """Send a byte now and then until an answer comes; return its status."""
        reader, writer = await self.connect()
        answer = asyncio.create_task(reader.readline())
        try:
            async with asyncio.timeout(2 * BODY_TIMEOUT_S):
                while not answer.done():
                    await asyncio.wait({answer}, timeout=BYTE_EVERY_S)
                    writer.write(b" ")
            return int(answer.result().split()[1])
        finally:
            answer.cancel()
            writer.close()

    async def leave(self) -> None:
        """Close the connection in the middle of the body."""
        _, writer = await self.connect()
        writer.transport.abort()


async def statuses_once(stack: Stack, token: str) -> set[int]:
    """Return the statuses of the health routes and of a chat by the token, each on a connection of its own."""
    timeout, headers = aiohttp.ClientTimeout(ANSWER_WITHIN_S), {"authorization": f"Bearer {token}"}
    body = {"model": "simple", "messages": [{"role": "user", "content": "Hello"}]}
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(stack.plan.router_url, timeout=timeout, headers=headers, connector=connector) as http,
        http.get("/healthz") as healthy,
        http.get("/readyz") as ready,
        http.post("/v1/chat/completions", json=body) as chat,
    ):
        return {healthy.status, ready.status, chat.status}


async def statuses_during(stack: Stack, token: str, uploads: Iterable[asyncio.Task[int]]) -> list[set[int]]:
    """Return the statuses of another tenant and of the health routes, once a second while the uploads go on."""
    statuses, pending = list[set[int]](), set(uploads)
    while pending:
        statuses.append(await statuses_once(stack, token))
        _, pending = await asyncio.wait(pending, timeout=1.0)
    return statuses


def tracebacks(directory: Path) -> int:
    """Return the number of tracebacks in the logs of Serve's replicas and proxies."""
    return sum(path.read_text("utf-8", "replace").count("Traceback") for path in directory.rglob("serve/*.log"))


async def test_slow_uploads_of_one_tenant_leave_others_and_the_health_routes_answering(system: System) -> None:
    stack = system.stack
    slow = SlowClient(stack.plan.router_url, await stack.open_room("tenant_acme_slowly"))
    token = await stack.open_room("tenant_globex_meanwhile")
    uploads = [asyncio.create_task(slow.upload()) for _ in range(CONNECTIONS)]
    others = await statuses_during(stack, token, uploads)
    ended = Counter([upload.result() for upload in uploads])
    assert others == [{200}] * len(others) and len(others) > BODY_TIMEOUT_S / 3
    # The first ones hold the tenant's slots until the body's deadline; the others are refused at once.
    assert set(ended) == {408, 429} and 0 < ended[408] <= UPLOADS_A_SENDER
    assert await statuses_once(stack, await stack.open_room("tenant_acme_again")) == {200}


async def test_a_client_that_leaves_in_the_middle_of_its_upload_leaves_no_traceback(system: System) -> None:
    stack = system.stack
    before = tracebacks(stack.plan.temp)
    leaving = SlowClient(stack.plan.router_url, await stack.open_room("tenant_acme_leaving_early"))
    await asyncio.gather(*(leaving.leave() for _ in range(LEAVING)))
    # The slots of those that left are free again once the replica has noticed.
    token = await stack.open_room("tenant_acme_staying")
    async with asyncio.timeout(BODY_TIMEOUT_S / 2):
        while await statuses_once(stack, token) != {200}:
            await asyncio.sleep(0.2)
    assert tracebacks(stack.plan.temp) == before
