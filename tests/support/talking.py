"""Participants that speak synthetic voices in a room and read the text streams there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from room_agent.conversation.transcription import TO, TOPIC
from tests.support.livekit_server import LiveKit
from tests.support.seat import AGENTS, FRAME_MS, Seat, Text, seated


@dataclass
class Talker(Seat):
    """A participant with a microphone."""

    microphone: rtc.AudioSource | None = None

    async def unmute(self) -> None:
        """Publish a microphone."""
        self.microphone = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self.microphone)
        await self.publish("microphone", track, rtc.TrackSource.SOURCE_MICROPHONE)

    async def hang_up(self) -> None:
        """Take the microphone away again."""
        await self.withdraw("microphone")

    async def speak(self, duration_ms: int, then_silent_ms: int = 600, pitch_hz: int = 120) -> float:
        """Speak in real time; returns when the voice fell silent, by the loop's clock."""
        await self.play(speech(duration_ms, pitch_hz))
        fell_silent_s = asyncio.get_running_loop().time()
        await self.play(silence(then_silent_ms))
        return fell_silent_s

    async def play(self, pcm: bytes) -> None:
        assert self.microphone is not None
        step = 2 * RATE_HZ * FRAME_MS // 1_000
        for start in range(0, len(pcm) - step + 1, step):
            frame = rtc.AudioFrame(pcm[start : start + step], RATE_HZ, 1, step // 2)
            await self.microphone.capture_frame(frame)

    @property
    def lines(self) -> list[Text]:
        """Return the transcription lines."""
        return self.on(TOPIC)

    @property
    def heard_ms(self) -> int:
        """Return the milliseconds of audible agent speech."""
        return self.agent().loud_ms

    def told(self) -> list[str]:
        """Return the agent's notices: its lines that answer nobody."""
        return [line.text for line in self.lines if line.identity.startswith(AGENTS) and TO not in line.attributes]


@asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str) -> AsyncIterator[Talker]:
    """Yield a participant of `room` with a microphone, gone with the block."""
    async with seated(Talker(), livekit, room, identity) as talker:
        await talker.unmute()
        yield talker
