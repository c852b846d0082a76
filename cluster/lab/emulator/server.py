"""Serve the vendors' protocols on a socket, inject planned faults, and log every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from cluster.lab.emulator.chat.anthropic.routes import anthropic_routes
from cluster.lab.emulator.chat.gemini.generate import gemini_routes
from cluster.lab.emulator.chat.model_lists import model_routes
from cluster.lab.emulator.chat.openai.routes import openai_routes
from cluster.lab.emulator.chat.voyage import voyage_routes
from cluster.lab.emulator.control_api import control_routes
from cluster.lab.emulator.core.faults import Fault
from cluster.lab.emulator.core.request import EmulatorState
from cluster.lab.emulator.speech.deepgram import deepgram_routes
from cluster.lab.emulator.speech.elevenlabs import UNLIMITED_CHARACTERS, elevenlabs_routes
from cluster.lab.emulator.speech.recognizer import PhraseScript

BASE_PATHS = {
    "openai": "/openai/v1",
    "anthropic": "/anthropic",
    "gemini": "/gemini",
    "voyage": "/voyage/v1",
    "deepgram": "/deepgram",
    "elevenlabs": "/elevenlabs",
}
"""The path of each vendor's `base_url`, below the server's root."""
MAX_BODY_BYTES = 32 * 1024 * 1024
STOP_S = 0.5
"""Grace period for responses in flight when the server stops."""


class Emulator:
    """The emulator's server. The default state has no latency and no limits, and accepts every model name.

    `characters` is the character quota of the ElevenLabs account.
    """

    def __init__(
        self,
        state: EmulatorState | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        characters: int = UNLIMITED_CHARACTERS,
    ) -> None:
        self.state = state or EmulatorState()
        self.faults, self.journal = self.state.faults, self.state.journal
        self.script = PhraseScript()
        self._host, self._port, self._characters = host, port, characters
        self.url = ""

    def plan(self, fault: Fault, *, vendor: str | None = None, model: str | None = None, times: int = 1) -> None:
        """Plan a fault for the next `times` requests, optionally of one vendor or model."""
        self.faults.plan(fault, vendor=vendor, model=model, times=times)

    def base_urls(self) -> dict[str, str]:
        """Return each vendor's base URL. Valid once the server runs."""
        return {vendor: self.url + path for vendor, path in BASE_PATHS.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Emulator]:
        """Serve until the block ends. `url` is the root of all vendor paths."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(self._routes())
        # A disconnect cancels the handler, so that the request log records the disconnect at once.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self.url = f"http://{self._host}:{runner.addresses[0][1]}"
            yield self
        finally:
            async with asyncio.timeout(10):
                await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        vendors = (control_routes, openai_routes, anthropic_routes, gemini_routes, voyage_routes, model_routes)
        routes = [route for vendor_routes in vendors for route in vendor_routes(self.state)]
        speech_routes = [*deepgram_routes(self.state, self.script), *elevenlabs_routes(self.state, self._characters)]
        return [*routes, *speech_routes]
