"""Run a microphone stream with the emulator's STT services, without a room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

from cluster.lab.demo.speech_synth import RATE_HZ
from cluster.lab.emulator import Emulator
from room_agent.audio.end_of_turn import TurnModel
from room_agent.audio.microphone import MicrophoneStream
from room_agent.audio.plugins import stt_plugins
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.transcripts import SttCounters, Utterance
from room_agent.audio.vad import SpeechDetector
from room_agent.usage.meter import SpeechMeter, metered_stt_session
from tests.support.speech_settings import settings_for


@dataclass
class TranscribingMicrophone:
    """A microphone stream and its reports."""

    emulator: Emulator
    usage: SpeechMeter
    services: SttServices
    plugins: list[Any]
    finals: list[Utterance] = field(default_factory=list)
    available: list[bool] = field(default_factory=list)
    stable_partials: list[tuple[str, int]] = field(default_factory=list)
    """Each stable partial, with the number of finals before it."""
    counters: SttCounters = field(default_factory=SttCounters)
    stt_paused: bool = False
    speech_s: float = 0.0
    partials: list[str] = field(default_factory=list)
    turn_model: TurnModel | None = None

    async def transcribe(self, *chunks: bytes, speed: float = 1.0) -> list[str]:
        """Play audio to a new stream; return the texts of its utterances."""
        before = len(self.finals)
        detector = SpeechDetector(0.3)
        microphone = MicrophoneStream(
            "ann", "TR_1", self.services, detector, self, self.counters, time.monotonic, self.turn_model
        )
        async with asyncio.timeout(60):
            await microphone.run(_frames(b"".join(chunks), speed, microphone))
        return [utterance.text for utterance in self.finals[before:]]

    def charged_ms(self) -> int:
        return sum(request.audio_ms for request in self.emulator.journal)

    def on_speech(self, identity: str, speech_s: float) -> None:
        self.speech_s = speech_s

    def on_stable_partial(self, identity: str, text: str) -> None:
        self.stable_partials.append((text, len(self.finals)))

    def on_partial(self, identity: str, track: str, text: str) -> None:
        self.partials.append(text)

    def on_final(self, utterance: Utterance) -> None:
        self.finals.append(utterance)

    def on_stt_available(self, available: bool) -> None:
        self.available.append(available)

    def is_stt_paused(self) -> bool:
        return self.stt_paused


async def _frames(pcm: bytes, speed: float, microphone: MicrophoneStream) -> AsyncIterator[rtc.AudioFrame]:
    """Yield the audio at `speed`, but not faster than this machine runs the detector."""
    started_s, step = time.monotonic(), RATE_HZ // 10
    for start in range(0, len(pcm), step):
        await asyncio.sleep(max(0.0, started_s + start / (2 * RATE_HZ * speed) - time.monotonic()))
        await asyncio.sleep(max(0.0, microphone.lag_s - 1) if speed > 1 else 0.0)
        chunk = pcm[start : start + step]
        yield rtc.AudioFrame(chunk, RATE_HZ, 1, len(chunk) // 2)


@asynccontextmanager
async def transcribing_microphone(emulator: Emulator, **settings_changes: Any) -> AsyncIterator[TranscribingMicrophone]:
    usage = SpeechMeter(time.time)
    async with metered_stt_session(usage) as http:
        plugins = stt_plugins(settings_for(emulator, **settings_changes), http)
        yield TranscribingMicrophone(emulator, usage, SttServices(plugins, time.monotonic), plugins)
