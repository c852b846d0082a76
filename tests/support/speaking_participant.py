"""A participant that plays synthetic speech in a room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from room_agent.conversation.transcription import TO, TOPIC
from tests.support.livekit_server import LiveKit
from tests.support.participant import AGENT_IDENTITY_PREFIXES, FRAME_MS, Participant, ReceivedText, connected


@dataclass
class SpeakingParticipant(Participant):
    """A participant with a microphone."""

    microphone: rtc.AudioSource | None = None

    async def publish_microphone(self) -> None:
        """Publish a microphone."""
        self.microphone = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self.microphone)
        await self.publish("microphone", track, rtc.TrackSource.SOURCE_MICROPHONE)

    async def unpublish_microphone(self) -> None:
        """Unpublish the microphone."""
        await self.unpublish("microphone")

    async def speak(self, duration_ms: int, then_silent_ms: int = 600, pitch_hz: int = 120) -> float:
        """Play speech and then silence in real time; return the time of the end of speech, by the loop's clock."""
        await self.play(speech(duration_ms, pitch_hz))
        speech_end_s = asyncio.get_running_loop().time()
        await self.play(silence(then_silent_ms))
        return speech_end_s

    async def play(self, pcm: bytes) -> None:
        assert self.microphone is not None
        step = 2 * RATE_HZ * FRAME_MS // 1_000
        for start in range(0, len(pcm) - step + 1, step):
            frame = rtc.AudioFrame(pcm[start : start + step], RATE_HZ, 1, step // 2)
            await self.microphone.capture_frame(frame)

    @property
    def transcripts(self) -> list[ReceivedText]:
        """Return the texts of the transcription stream."""
        return self.texts_on(TOPIC)

    @property
    def agent_speech_ms(self) -> int:
        """Return the milliseconds of audible agent speech."""
        return self.agent_audio().loud_ms

    def notices(self) -> list[str]:
        """Return the agent's notices: its transcription texts without a recipient."""
        return [
            text.text
            for text in self.transcripts
            if text.identity.startswith(AGENT_IDENTITY_PREFIXES) and TO not in text.attributes
        ]


@asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str) -> AsyncIterator[SpeakingParticipant]:
    """Yield a participant of `room` with a microphone; it leaves on exit."""
    async with connected(SpeakingParticipant(), livekit, room, identity) as participant:
        await participant.publish_microphone()
        yield participant
