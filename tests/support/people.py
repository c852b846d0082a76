"""Participants that show slides, speak in real time, and recognize digits in the agent's speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator.engines.asr import DigitRecognizer
from cluster.lab.emulator.engines.tts import SpeechEngine
from tests.support.livekit_server import LiveKit
from tests.support.seat import FRAME_MS, HEARD_HZ, MOST_HEARD_S, SIZE_PX, Seat, seated

SPOKEN_HZ: Final = 48_000
QUEUE_MS: Final = 100
"""The queue of a microphone. It is short, so that silence reaches the room soon."""
_PAPER: Final = ("white", "#fff3c4", "#d7f0ff", "#e4ffd9")
_TITLES: Final = ("Quarterly review", "Plans for the autumn", "What we learned", "Where we stand")


class Microphone:
    """A microphone that is always on, as real ones are: silence between the utterances, which play in real time."""

    def __init__(self) -> None:
        self.source = rtc.AudioSource(SPOKEN_HZ, 1, queue_size_ms=QUEUE_MS)
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_HEARD_S * 1_000 // FRAME_MS)

    async def say(self, pcm: bytes) -> None:
        """Return once all of `pcm` is played."""
        size = 2 * SPOKEN_HZ * FRAME_MS // 1_000
        for start in range(0, len(pcm), size):
            self._waiting.put_nowait(pcm[start : start + size].ljust(size, b"\0"))
        await self._waiting.join()

    async def run(self) -> None:
        samples = SPOKEN_HZ * FRAME_MS // 1_000
        silence = bytes(2 * samples)
        while True:
            said = not self._waiting.empty()
            sound = self._waiting.get_nowait() if said else silence
            # Blocks while more than a tenth of a second is queued, and so keeps real time.
            await self.source.capture_frame(rtc.AudioFrame(sound, SPOKEN_HZ, 1, samples))
            if said:
                self._waiting.task_done()


@dataclass
class Person(Seat):
    """A participant. `slide` is the number on the shared screen; None is a slide without a number."""

    voice: SpeechEngine = field(default_factory=SpeechEngine)
    slide: int | None = None
    _microphone: Microphone | None = None

    async def share(self, number: int | None) -> None:
        """Share a screen with a slide on it."""
        self.slide = number
        await self.publish_video("screen", rtc.TrackSource.SOURCE_SCREENSHARE, Slides(self).paint)

    async def unmute(self) -> None:
        """Publish a microphone."""
        self._microphone = Microphone()
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone.source)
        await self.publish("microphone", track, rtc.TrackSource.SOURCE_MICROPHONE)
        self.own(self._microphone.run())

    async def say(self, text: str) -> float:
        """Say `text` aloud; return the end of its last word, by the loop's clock."""
        assert self._microphone is not None
        await self._microphone.say(await asyncio.to_thread(self.voice.speak, text, SPOKEN_HZ))
        return asyncio.get_running_loop().time()

    async def digits(self) -> str:
        """Return the digits recognized in the agent's speech."""
        # A copy: the agent may go on speaking during the recognition.
        return await asyncio.to_thread(_digit_recognizer().recognize, bytes(self.agent().pcm), HEARD_HZ)


class Slides:
    """Paints the slides of a person; another number is another slide with another look."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._shown, self._look = person.slide, 0
        self._pixels = slide(self._shown, 0)

    def paint(self) -> bytes:
        if self._shown != self._person.slide:
            self._shown, self._look = self._person.slide, self._look + 1
            self._pixels = slide(self._shown, self._look)
        return self._pixels


@asynccontextmanager
async def joined(
    livekit: LiveKit, room: str, identity: str, voice: SpeechEngine | None = None
) -> AsyncIterator[Person]:
    """Yield a participant of `room` with a microphone that leaves with the block."""
    engine = voice if voice is not None else await asyncio.to_thread(SpeechEngine)
    person = Person(voice=engine)
    async with seated(person, livekit, room, identity):
        await person.unmute()
        yield person


def slide(number: int | None, look: int) -> bytes:
    """Return a slide in RGBA: a big number below a title. Another look makes it a new slide, not an edited one."""
    look %= len(_PAPER)
    image = Image.new("RGBA", SIZE_PX, _PAPER[look])
    pen = ImageDraw.Draw(image)
    pen.text((100, 50 + 20 * look), _TITLES[look], fill="black", font=ImageFont.load_default(50))
    if number is not None:
        pen.text((100 + 90 * look, 230), str(number), fill="black", font=ImageFont.load_default(220))
    return np.asarray(image).tobytes()


_RECOGNIZERS: list[DigitRecognizer] = []


def _digit_recognizer() -> DigitRecognizer:
    """Return the process's one recognizer: to load the model takes a second."""
    if not _RECOGNIZERS:
        _RECOGNIZERS.append(DigitRecognizer())
    return _RECOGNIZERS[0]
