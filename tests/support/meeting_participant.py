"""A participant that shares slides, speaks given words, and recognises digits in the agent's speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator.engines.asr import DigitRecognizer
from cluster.lab.emulator.engines.tts import SpeechEngine
from tests.support.livekit_server import LiveKit
from tests.support.participant import FRAME_MS, MAX_RECORDING_S, RECEIVED_RATE_HZ, SIZE_PX, Participant, connected

MICROPHONE_RATE_HZ: Final = 48_000
QUEUE_MS: Final = 100
"""The queue of a microphone: short, so that silence reaches the room soon."""
_BACKGROUNDS: Final = ("white", "#fff3c4", "#d7f0ff", "#e4ffd9")
_TITLES: Final = ("Quarterly review", "Plans for the autumn", "What we learned", "Where we stand")


class Microphone:
    """A microphone that is always on, like a real one: it plays silence between utterances, all in real time."""

    def __init__(self) -> None:
        self.source = rtc.AudioSource(MICROPHONE_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(MAX_RECORDING_S * 1_000 // FRAME_MS)

    async def say(self, pcm: bytes) -> None:
        """Return once all of `pcm` is played."""
        size = 2 * MICROPHONE_RATE_HZ * FRAME_MS // 1_000
        for start in range(0, len(pcm), size):
            self._chunks.put_nowait(pcm[start : start + size].ljust(size, b"\0"))
        await self._chunks.join()

    async def run(self) -> None:
        samples = MICROPHONE_RATE_HZ * FRAME_MS // 1_000
        silence = bytes(2 * samples)
        while True:
            is_speech = not self._chunks.empty()
            chunk = self._chunks.get_nowait() if is_speech else silence
            # This waits while more than a tenth of a second is queued, and so keeps real time.
            await self.source.capture_frame(rtc.AudioFrame(chunk, MICROPHONE_RATE_HZ, 1, samples))
            if is_speech:
                self._chunks.task_done()


@dataclass
class MeetingParticipant(Participant):
    """A participant; `slide` is the number on the shared screen, None for a slide without a number."""

    voice: SpeechEngine = field(default_factory=SpeechEngine)
    slide: int | None = None
    _microphone: Microphone | None = None

    async def share_screen(self, number: int | None) -> None:
        """Share a screen that shows a slide with this number."""
        self.slide = number
        await self.publish_video("screen", rtc.TrackSource.SOURCE_SCREENSHARE, Slides(self).paint)

    async def publish_microphone(self) -> None:
        """Publish a microphone."""
        self._microphone = Microphone()
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone.source)
        await self.publish("microphone", track, rtc.TrackSource.SOURCE_MICROPHONE)
        self.start_task(self._microphone.run())

    async def say(self, text: str) -> float:
        """Say `text` aloud; return the end of its last word, by the loop's clock."""
        assert self._microphone is not None
        await self._microphone.say(await asyncio.to_thread(self.voice.speak, text, MICROPHONE_RATE_HZ))
        return asyncio.get_running_loop().time()

    async def recognized_digits(self, language: str = "en") -> str:
        """Return the digits of a language that are recognised in the agent's speech."""
        # A copy: the agent may go on speaking during the recognition.
        return await asyncio.to_thread(
            _digit_recognizer(language).recognize, bytes(self.agent_audio().pcm), RECEIVED_RATE_HZ
        )


class Slides:
    """Paint the slides of a participant; another number makes another slide in another style."""

    def __init__(self, participant: MeetingParticipant) -> None:
        self._participant = participant
        self._painted_slide, self._style = participant.slide, 0
        self._pixels = slide(self._painted_slide, 0)

    def paint(self) -> bytes:
        if self._painted_slide != self._participant.slide:
            self._painted_slide, self._style = self._participant.slide, self._style + 1
            self._pixels = slide(self._painted_slide, self._style)
        return self._pixels


@asynccontextmanager
async def joined(
    livekit: LiveKit, room: str, identity: str, voice: SpeechEngine | None = None
) -> AsyncIterator[MeetingParticipant]:
    """Yield a participant of `room` with a microphone; it leaves on exit."""
    engine = voice if voice is not None else await asyncio.to_thread(SpeechEngine)
    participant = MeetingParticipant(voice=engine)
    async with connected(participant, livekit, room, identity):
        await participant.publish_microphone()
        yield participant


def slide(number: int | None, style: int) -> bytes:
    """Return a slide in RGBA: a big number below a title. Another style makes a new slide, not an edited one."""
    style %= len(_BACKGROUNDS)
    image = Image.new("RGBA", SIZE_PX, _BACKGROUNDS[style])
    draw = ImageDraw.Draw(image)
    draw.text((100, 50 + 20 * style), _TITLES[style], fill="black", font=ImageFont.load_default(50))
    if number is not None:
        draw.text((100 + 90 * style, 230), str(number), fill="black", font=ImageFont.load_default(220))
    return np.asarray(image).tobytes()


@cache
def _digit_recognizer(language: str) -> DigitRecognizer:
    """Return a language's one recogniser of this process, because loading its model takes a second."""
    return DigitRecognizer(language)
