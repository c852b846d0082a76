"""Serves the vendors' protocols on a socket, fails when told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from deployments.providers.emulator.faults import Fault, Seen
from deployments.providers.emulator.openai import openai_routes

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_REMEMBERED = 100_000


class Emulator:
    """The server, its faults to come (first in, first used) and its journal."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port
        self.faults: deque[Fault] = deque()
        self.journal: deque[Seen] = deque(maxlen=MAX_REMEMBERED)
        self.url = ""

    def next_fault(self) -> Fault | None:
        return self.faults.popleft() if self.faults else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Emulator]:
        """Serve until the block ends; `url` is the root of the path prefixes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(openai_routes(self))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self.url = f"http://{self._host}:{runner.addresses[0][1]}"
            yield self
        finally:
            async with asyncio.timeout(10):
                await runner.cleanup()
