"""People in a room over real WebRTC: they show slides, ask aloud in real time, and understand the digits they hear."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from deployments.providers.emulator.senses.ears import DigitEars
from deployments.providers.emulator.senses.tongue import Tongue
from tests.acceptance.livekit_server import LiveKit

TOPICS: Final = ("lk.transcription", "lk.chat", "rayroom.descriptions")
TIMEOUT_S: Final = 60.0
SIZE_PX: Final = (1280, 720)
FPS: Final = 5.0
SPOKEN_HZ: Final = 48_000
HEARD_HZ: Final = 16_000
FRAME_MS: Final = 20
QUEUE_MS: Final = 100
"""How far a microphone is ahead of the room: who falls silent is silent soon."""
MOST_HEARD_S: Final = 600
LOUD_RMS: Final = 300
_PAPER: Final = ("white", "#fff3c4", "#d7f0ff", "#e4ffd9")
_TITLES: Final = ("Quarterly review", "Plans for the autumn", "What we learned", "Where we stand")


@dataclass(frozen=True, slots=True)
class Text:
    """A text on one of the room's streams, whose it is, and what comes with it."""

    topic: str
    sender: str
    text: str
    attributes: dict[str, str]


class Recording:
    """What somebody said: 16-bit PCM of one channel, the last ten minutes of it."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.loud_at_s: float | None = None
        """When it was loud for the first time, by the loop's clock."""
        self.loud_ms = 0
        self._loud_until_s = 0.0

    def quiet_ms(self) -> int:
        """How long it has been quiet."""
        return round(1_000 * (asyncio.get_running_loop().time() - self._loud_until_s))

    def add(self, frame: rtc.AudioFrame) -> None:
        sound = np.frombuffer(frame.data, np.int16)
        self.pcm += sound.tobytes()
        del self.pcm[: -2 * HEARD_HZ * MOST_HEARD_S]
        if np.sqrt(np.mean(sound.astype(np.float32) ** 2)) >= LOUD_RMS:
            self.loud_ms += FRAME_MS
            self._loud_until_s = asyncio.get_running_loop().time()
            self.loud_at_s = self.loud_at_s or self._loud_until_s

    def forget(self) -> None:
        """Begin anew, so that what comes next is what was heard."""
        self.pcm.clear()
        self.loud_at_s, self.loud_ms = None, 0


class Microphone:
    """A microphone that is always on, as real ones are: what is not said is silence. What is said takes its time."""

    def __init__(self) -> None:
        self.source = rtc.AudioSource(SPOKEN_HZ, 1, queue_size_ms=QUEUE_MS)
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_HEARD_S * 1_000 // FRAME_MS)

    async def say(self, pcm: bytes) -> None:
        """Return when all of it was said."""
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
            # It waits while more than a tenth of a second is queued, and so keeps the pace.
            await self.source.capture_frame(rtc.AudioFrame(sound, SPOKEN_HZ, 1, samples))
            if said:
                self._waiting.task_done()


@dataclass
class Person:
    """A participant. `slide` is the number on the screen that is shared; None is a slide without one."""

    room: rtc.Room
    voice: Tongue
    slide: int | None = None
    texts: list[Text] = field(default_factory=list)
    heard: dict[str, Recording] = field(default_factory=dict)
    _microphone: Microphone | None = None
    _published: dict[str, str] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def share(self, slide: int | None) -> None:
        """Share a screen with a slide on it."""
        self.slide = slide
        source = rtc.VideoSource(*SIZE_PX, is_screencast=True)
        track = rtc.LocalVideoTrack.create_video_track("slides", source)
        await self._publish("screen", track, rtc.TrackSource.SOURCE_SCREENSHARE)
        self._own(self._show(source))

    async def unmute(self) -> None:
        """Publish a microphone."""
        self._microphone = Microphone()
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone.source)
        await self._publish("microphone", track, rtc.TrackSource.SOURCE_MICROPHONE)
        self._own(self._microphone.run())

    async def withdraw(self, what: str) -> None:
        """Take the `screen` or the `microphone` away again."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.unpublish_track(self._published.pop(what))

    async def say(self, text: str) -> float:
        """Say `text` aloud; returns when its last word was said, by the loop's clock."""
        assert self._microphone is not None
        await self._microphone.say(await asyncio.to_thread(self.voice.speak, text, SPOKEN_HZ))
        return asyncio.get_running_loop().time()

    async def write(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.send_text(text, topic="lk.chat")

    def on(self, topic: str) -> list[Text]:
        return [text for text in self.texts if text.topic == topic]

    def agent(self) -> Recording:
        """Return what the room's one agent said."""
        return self.heard.get(self._agent(), Recording())

    async def digits(self) -> str:
        """Return the digits the agent said, as this person understands them."""
        # A copy: more may be said while one thinks about what was.
        return await asyncio.to_thread(_digit_ears().hear, bytes(self.agent().pcm), HEARD_HZ)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.disconnect()

    def _agent(self) -> str:
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = self.room.remote_participants.values()
        return next((one.identity for one in people if one.kind == kind or one.identity == "agent"), "")

    async def _publish(self, what: str, track: rtc.LocalTrack, source: rtc.TrackSource.ValueType) -> None:
        options = rtc.TrackPublishOptions(source=source, simulcast=False)
        async with asyncio.timeout(TIMEOUT_S):
            self._published[what] = (await self.room.local_participant.publish_track(track, options)).sid

    async def _show(self, source: rtc.VideoSource) -> None:
        shown, look, pixels = self.slide, 0, slide(self.slide, 0)
        while True:
            if shown != self.slide:
                shown, look = self.slide, look + 1
                pixels = slide(shown, look)
            source.capture_frame(rtc.VideoFrame(*SIZE_PX, rtc.VideoBufferType.RGBA, pixels))
            await asyncio.sleep(1 / FPS)

    def _on_track(self, track: rtc.Track, _: Any, sender: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._own(self._listen(track, self.heard.setdefault(sender.identity, Recording())))

    async def _listen(self, track: rtc.Track, recording: Recording) -> None:
        stream = rtc.AudioStream.from_track(
            track=track, sample_rate=HEARD_HZ, num_channels=1, frame_size_ms=FRAME_MS, capacity=100
        )
        try:
            async for event in stream:
                recording.add(event.frame)
        finally:
            await stream.aclose()

    def _on_text(self, topic: str, reader: rtc.TextStreamReader, sender: str) -> None:
        self._own(self._read(topic, reader, sender))

    async def _read(self, topic: str, reader: rtc.TextStreamReader, sender: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            text = await reader.read_all()
        self.texts.append(Text(topic, sender, text, dict(reader.info.attributes or {})))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str, voice: Tongue | None = None) -> AsyncIterator[Person]:
    """Yield a participant of `room` with a microphone, gone with the block."""
    person = Person(rtc.Room(), voice or await asyncio.to_thread(Tongue))
    person.room.on("track_subscribed", person._on_track)
    for topic in TOPICS:
        person.room.register_text_stream_handler(
            topic, lambda reader, sender, topic=topic: person._on_text(topic, reader, sender)
        )
    async with asyncio.timeout(TIMEOUT_S):
        await person.room.connect(livekit.url, livekit.token(room, identity))
    await person.unmute()
    try:
        yield person
    finally:
        with contextlib.suppress(TimeoutError):
            await person.aclose()


def slide(number: int | None, look: int) -> bytes:
    """Return a slide in RGBA: a big number below a title. With another look it is another slide, not an edited one."""
    look %= len(_PAPER)
    image = Image.new("RGBA", SIZE_PX, _PAPER[look])
    pen = ImageDraw.Draw(image)
    pen.text((100, 50 + 20 * look), _TITLES[look], fill="black", font=ImageFont.load_default(50))
    if number is not None:
        pen.text((100 + 90 * look, 230), str(number), fill="black", font=ImageFont.load_default(220))
    return np.asarray(image).tobytes()


_EARS: list[DigitEars] = []


def _digit_ears() -> DigitEars:
    """Return the process's one pair: to load the model takes a second."""
    if not _EARS:
        _EARS.append(DigitEars())
    return _EARS[0]
