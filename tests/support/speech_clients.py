"""Audio to send, and the vendors' own speech clients connected to an emulator."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import numpy as np
from aiohttp import web
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs.client import AsyncElevenLabs, ElevenLabs

RATE_HZ = 16_000


def voice(duration_ms: int) -> bytes:
    """Return a tone that the emulator detects as speech."""
    sample_indexes = np.arange(RATE_HZ * duration_ms // 1_000)
    return (8_000 * np.sin(2 * np.pi * 220 * sample_indexes / RATE_HZ)).astype("<i2").tobytes()


def silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1_000)


def wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm)
    return buffer.getvalue()


def pieces(pcm: bytes, duration_ms: int = 50) -> list[bytes]:
    size = 2 * RATE_HZ * duration_ms // 1_000
    return [pcm[start : start + size] for start in range(0, len(pcm), size)]


@asynccontextmanager
async def serving(routes: Sequence[web.RouteDef]) -> AsyncIterator[str]:
    """Serve some routes of the emulator; yield their base URL."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def deepgram_client(root: str, timeout_s: float = 5.0) -> AsyncIterator[AsyncDeepgramClient]:
    http = f"{root}/deepgram"
    urls = DeepgramClientEnvironment(base=http, production=ws(http), agent="", agent_rest="")
    async with httpx.AsyncClient() as client:
        yield AsyncDeepgramClient(api_key="k", environment=urls, httpx_client=client, timeout=timeout_s, max_retries=0)


@asynccontextmanager
async def elevenlabs_client(root: str, timeout_s: float = 5.0) -> AsyncIterator[AsyncElevenLabs]:
    async with httpx.AsyncClient() as client:
        yield AsyncElevenLabs(api_key="k", base_url=f"{root}/elevenlabs", httpx_client=client, timeout=timeout_s)


def synthesize_live(root: str, texts: Sequence[str], output_format: str = "pcm_16000") -> bytes:
    """Return the speech of `texts` by the SDK's websocket. This call blocks: the SDK has no asynchronous one."""
    with httpx.Client() as client:
        elevenlabs = ElevenLabs(api_key="k", base_url=f"{root}/elevenlabs", httpx_client=client)
        # The SDK has no option for a websocket without TLS.
        elevenlabs.text_to_speech._ws_base_url = f"{ws(root)}/elevenlabs"
        audio = elevenlabs.text_to_speech.convert_realtime(
            "anna", text=iter(texts), model_id="eleven_turbo_v2_5", output_format=output_format
        )
        return b"".join(audio)


def ws(root: str) -> str:
    return root.replace("http", "ws", 1)
