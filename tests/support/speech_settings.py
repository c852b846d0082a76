"""Settings of an agent that uses an emulator as its vendors."""

from __future__ import annotations

from typing import Any

from cluster.lab.emulator import Emulator
from room_agent.core.settings import SpeechSettings


def settings_for(emulator: Emulator, **changes: Any) -> SpeechSettings:
    defaults: dict[str, Any] = {
        "voice": True,
        "deepgram_key": "k",
        "deepgram_url": emulator.base_urls()["deepgram"],
        "eleven_key": "k",
        "eleven_url": emulator.base_urls()["elevenlabs"],
        "voice_id": "anna",
        "stt_models": ("nova-3",),
        "tts_models": ("eleven_flash_v2_5",),
        "language": "en-US",
        "names": ("Rayroom", "ray room"),
        "max_microphones": 8,
        "pause_s": 0.3,
    }
    return SpeechSettings(**defaults | changes)
