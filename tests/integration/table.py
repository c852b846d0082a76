"""A microphone on a table, its services behind it, and what is heard through it; no room."""

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
from room_agent.audio.microphone import MicrophoneStream
from room_agent.audio.plugins import stt_plugins
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.transcripts import HearingCounters, Utterance
from room_agent.audio.vad import SpeechDetector
from room_agent.usage.meter import SpeechMeter, metered_stt_session
from tests.support.speech_settings import settings_for


@dataclass
class Ear:
    """A microphone on a table, and what was heard through it."""

    emulator: Emulator
    usage: SpeechMeter
    services: SttServices
    plugins: list[Any]
    said: list[Utterance] = field(default_factory=list)
    well: list[bool] = field(default_factory=list)
    expected: list[tuple[str, int]] = field(default_factory=list)
    """What was foretold, and how many utterances had been told whole by then."""
    counters: HearingCounters = field(default_factory=HearingCounters)
    is_deaf: bool = False
    voiced_s: float = 0.0
    shown: list[str] = field(default_factory=list)
    """What was told of the utterances while they were being said."""

    async def hear(self, *sounds: bytes, speed: float = 1.0) -> list[str]:
        """Play sounds to a new microphone; return what was said in them."""
        before = len(self.said)
        detector = SpeechDetector(0.3)
        microphone = MicrophoneStream("ann", "TR_1", self.services, detector, self, self.counters, time.monotonic)
        async with asyncio.timeout(60):
            await microphone.run(_frames(b"".join(sounds), speed, microphone))
        return [utterance.text for utterance in self.said[before:]]

    def charged_ms(self) -> int:
        return sum(seen.audio_ms for seen in self.emulator.journal)

    def voiced(self, identity: str, speech_s: float) -> None:
        self.voiced_s = speech_s

    def foretold(self, identity: str, text: str) -> None:
        self.expected.append((text, len(self.said)))

    def hearing(self, identity: str, track: str, text: str) -> None:
        self.shown.append(text)

    def heard(self, utterance: Utterance) -> None:
        self.said.append(utterance)

    def hears(self, well: bool) -> None:
        self.well.append(well)

    def deaf(self) -> bool:
        return self.is_deaf


async def _frames(pcm: bytes, speed: float, microphone: MicrophoneStream) -> AsyncIterator[rtc.AudioFrame]:
    """Yield the sound so many times faster than it was said, or as fast as this machine detects a voice in it."""
    begun_s, step = time.monotonic(), RATE_HZ // 10
    for start in range(0, len(pcm), step):
        await asyncio.sleep(max(0.0, begun_s + start / (2 * RATE_HZ * speed) - time.monotonic()))
        await asyncio.sleep(max(0.0, microphone.behind_s - 1) if speed > 1 else 0.0)
        piece = pcm[start : start + step]
        yield rtc.AudioFrame(piece, RATE_HZ, 1, len(piece) // 2)


@asynccontextmanager
async def listening(emulator: Emulator, **changed: Any) -> AsyncIterator[Ear]:
    usage = SpeechMeter(time.time)
    async with metered_stt_session(usage) as http:
        plugins = stt_plugins(settings_for(emulator, **changed), http)
        yield Ear(emulator, usage, SttServices(plugins, time.monotonic), plugins)
