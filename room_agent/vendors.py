"""Builds the speech services an agent is configured with, each in its order. Asks none of them anything."""

from __future__ import annotations

from typing import Any

import aiohttp
from livekit.agents import stt, tts
from livekit.plugins import deepgram, elevenlabs

from room_agent.settings import SpeechSettings


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
        elevenlabs.TTS(
            model=model,
            voice_id=settings.voice_id,
            encoding="pcm_24000",
            api_key=settings.eleven_key,
            base_url=f"{settings.eleven_url}/v1",
            http_session=http,
        )
        for model in settings.tts_models
    ]
