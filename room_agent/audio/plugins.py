"""Builds the configured STT and TTS plugins, in the order in which they are tried."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
from livekit.agents import NOT_GIVEN, NotGivenOr, stt, tts
from livekit.plugins import deepgram, elevenlabs

from room_agent.core.settings import SpeechSettings, takes_keyterms
from room_agent.core.tasks import OwnedTasks

CLOSE_TIMEOUT_S = 2.0
ENDPOINTING_MS, MULTI_ENDPOINTING_MS = 25, 100
"""The silence after which Deepgram ends a segment: the plugin's default, and its advice for several languages."""
MAX_KEYTERMS, MAX_KEYTERM_CHARS = 8, 40
"""Deepgram takes 500 tokens of them; a longer list stops the transcription."""


def stt_plugins(settings: SpeechSettings, http: aiohttp.ClientSession) -> list[stt.STT[Any]]:
    """Return one Deepgram plugin a model. `mip_opt_out`: Deepgram must not train models on a room's speech."""
    return [
        deepgram.STT(
            model=model,
            language=settings.language,
            api_key=settings.deepgram_key,
            base_url=f"{settings.deepgram_url}/v1/listen",
            http_session=http,
            sample_rate=16_000,
            mip_opt_out=True,
            endpointing_ms=MULTI_ENDPOINTING_MS if settings.detects_language else ENDPOINTING_MS,
            keyterm=_keyterms(settings, model),
        )
        for model in settings.stt_models
    ]


def _keyterms(settings: SpeechSettings, model: str) -> NotGivenOr[list[str]]:
    """Return the names by which people call the agent, as STT is to write them."""
    if not settings.keyterms or not takes_keyterms(model):
        return NOT_GIVEN
    return [name[:MAX_KEYTERM_CHARS] for name in settings.names[:MAX_KEYTERMS]]


def tts_plugins(settings: SpeechSettings, http: aiohttp.ClientSession) -> list[elevenlabs.TTS]:
    """Return one ElevenLabs plugin a model. PCM output needs no decoder."""
    return [
        _ElevenLabsTts(
            _SocketOpener(http),
            model=model,
            voice_id=settings.voice_id,
            encoding="pcm_24000",
            api_key=settings.eleven_key,
            base_url=f"{settings.eleven_url}/v1",
        )
        for model in settings.tts_models
    ]


class _SocketOpener:
    """Stands in for the aiohttp session of one plugin: opens its sockets, and can close the newest one."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def ws_connect(self, url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._http.ws_connect(url, **options)
        return self._socket

    async def close_socket(self) -> None:
        """Close the socket with a closing handshake, so that the vendor receives all that was sent."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await socket.close()
        except TimeoutError:
            pass


class _ElevenLabsTts(elevenlabs.TTS):
    """Closes the socket after a failed speech. The plugin sends all speech through one socket while that is open.

    A stalled socket would stay open: it would swallow every later answer, and leave its texts open at the vendor.
    """

    def __init__(self, opener: _SocketOpener, **options: Any) -> None:
        super().__init__(http_session=cast(aiohttp.ClientSession, opener), **options)
        self._opener = opener
        self._closing = OwnedTasks()
        self.on("error", self._on_error)

    async def aclose(self) -> None:
        await super().aclose()
        # Not cancelled: an unclosed socket would leave texts open at the vendor.
        await self._closing.wait(2 * CLOSE_TIMEOUT_S)

    def _on_error(self, error: tts.TTSError) -> None:
        if error.recoverable:
            return
        self._closing.start(self._opener.close_socket(), "close tts socket")
