"""Builds the speech services an agent is configured with, each in its order. Asks none of them anything."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
from livekit.agents import stt, tts
from livekit.plugins import deepgram, elevenlabs

from room_agent.core.settings import SpeechSettings

HANG_UP_TIMEOUT_S = 2.0


def ears(settings: SpeechSettings, http: aiohttp.ClientSession) -> list[stt.STT[Any]]:
    """Return Deepgram's models. `mip_opt_out`: what is said in a room trains nobody's model."""
    return [
        deepgram.STT(
            model=model,
            language=settings.language,
            api_key=settings.deepgram_key,
            base_url=f"{settings.deepgram_url}/v1/listen",
            http_session=http,
            sample_rate=16_000,
            mip_opt_out=True,
        )
        for model in settings.stt_models
    ]


def voices(settings: SpeechSettings, http: aiohttp.ClientSession) -> list[tts.TTS[Any]]:
    """Return ElevenLabs' models. PCM: nothing to decode."""
    return [
        _Voice(
            _Line(http),
            model=model,
            voice_id=settings.voice_id,
            encoding="pcm_24000",
            api_key=settings.eleven_key,
            base_url=f"{settings.eleven_url}/v1",
        )
        for model in settings.tts_models
    ]


class _Line:
    """Opens one voice's sockets, as the session that its plugin asks for them, and can hang up the newest."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def ws_connect(self, url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._http.ws_connect(url, **options)
        return self._socket

    async def hang_up(self) -> None:
        """Close the socket in good order, so that the vendor has all that was sent; it need not answer."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            async with asyncio.timeout(HANG_UP_TIMEOUT_S):
                await socket.close()
        except TimeoutError:
            pass


class _Voice(elevenlabs.TTS):
    """Hangs up where a speech failed. The plugin says all through one socket for as long as that is open.

    One that is silent stays open: it would swallow every answer to come, and leave the texts in it open at the vendor.
    """

    def __init__(self, line: _Line, **options: Any) -> None:
        super().__init__(http_session=cast(aiohttp.ClientSession, line), **options)
        self._line = line
        self._hanging_up: set[asyncio.Task[None]] = set()
        self.on("error", self._failed)

    async def aclose(self) -> None:
        await super().aclose()
        if self._hanging_up:
            await asyncio.wait(self._hanging_up, timeout=2 * HANG_UP_TIMEOUT_S)

    def _failed(self, error: tts.TTSError) -> None:
        if error.recoverable:
            return
        task = asyncio.create_task(self._line.hang_up(), name="hang up")
        self._hanging_up.add(task)
        task.add_done_callback(self._hanging_up.discard)
