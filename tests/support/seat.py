"""A test participant over real WebRTC: joins a room, publishes tracks, records texts and sound, and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from livekit import rtc

from room_agent.conversation.transcription import FINAL, IDENTITY, SEGMENT, SOURCES, TO
from room_agent.conversation.transcription import TOPIC as CAPTIONS
from room_agent.session import TOPIC as DESCRIPTIONS
from tests.support.livekit_server import LiveKit

TIMEOUT_S: Final = 60.0
SIZE_PX: Final = (1280, 720)
FPS: Final = 5.0
HEARD_HZ: Final = 16_000
FRAME_MS: Final = 20
HEARD_MS: Final = 10
"""The length of the room's audio frames: the onset of a voice is measured in these steps."""
MOST_HEARD_S: Final = 600
LOUD_RMS: Final = 300
TOPICS: Final = (CAPTIONS, "lk.chat", DESCRIPTIONS)
AGENTS: Final = ("agent", "rayroom-")
"""Prefixes of an agent's identity: in a test's own process, and as a job."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text on one of the room's streams, and its attributes."""

    topic: str
    text: str
    attributes: dict[str, str]

    @property
    def identity(self) -> str:
        """The speaker's identity."""
        return self.attributes[IDENTITY]

    @property
    def segment(self) -> str:
        return self.attributes[SEGMENT]

    @property
    def sources(self) -> list[str]:
        return list(json.loads(self.attributes.get(SOURCES, "[]")))


class Recording:
    """The sound of one participant: 16-bit PCM of one channel, the last ten minutes of it."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.loud_at_s: float | None = None
        """The time of the first loud frame, by the loop's clock."""
        self.loud_ms = 0
        self._loud_until_s = 0.0

    def quiet_ms(self) -> int:
        """Return the time since the last loud frame."""
        return round(1_000 * (asyncio.get_running_loop().time() - self._loud_until_s))

    def add(self, frame: rtc.AudioFrame) -> None:
        sound = np.frombuffer(frame.data, np.int16)
        self.pcm += sound.tobytes()
        del self.pcm[: -2 * HEARD_HZ * MOST_HEARD_S]
        if np.sqrt(np.mean(sound.astype(np.float32) ** 2)) >= LOUD_RMS:
            self.loud_ms += HEARD_MS
            self._loud_until_s = asyncio.get_running_loop().time()
            self.loud_at_s = self.loud_at_s or self._loud_until_s


@dataclass
class Seat:
    """One participant, from `seated` to its end; owns every task it starts."""

    room: rtc.Room = field(default_factory=rtc.Room)
    texts: list[Text] = field(default_factory=list)
    interims: list[Text] = field(default_factory=list)
    """Partial transcripts."""
    heard: dict[str, Recording] = field(default_factory=dict)
    options: rtc.RoomOptions = field(default_factory=rtc.RoomOptions)
    _published: dict[str, str] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def publish(self, name: str, track: rtc.LocalTrack, source: rtc.TrackSource.ValueType) -> str:
        """Publish a track; return its id. `withdraw` takes the same name."""
        options = rtc.TrackPublishOptions(source=source, simulcast=False)
        async with asyncio.timeout(TIMEOUT_S):
            publication = await self.room.local_participant.publish_track(track, options)
        self._published[name] = publication.sid
        return publication.sid

    async def publish_video(self, name: str, source: rtc.TrackSource.ValueType, paint: Callable[[], bytes]) -> str:
        """Publish the RGBA pictures that `paint` returns, `FPS` a second."""
        video = rtc.VideoSource(*SIZE_PX, is_screencast=True)
        sid = await self.publish(name, rtc.LocalVideoTrack.create_video_track("slides", video), source)
        self.own(_show(video, paint))
        return sid

    async def withdraw(self, name: str) -> None:
        """Unpublish a track by its name."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.unpublish_track(self._published.pop(name))

    async def write(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.send_text(text, topic="lk.chat")

    def on(self, topic: str) -> list[Text]:
        return [text for text in self.texts if text.topic == topic]

    def answers(self) -> list[Text]:
        """Return the agent's answers: its texts with a recipient."""
        return [line for line in self.on(CAPTIONS) if TO in line.attributes]

    def agents(self) -> list[str]:
        """Return the identities of the agents in the room."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = self.room.remote_participants.values()
        return [one.identity for one in people if one.kind == kind or one.identity == AGENTS[0]]

    def agent(self) -> Recording:
        """Return the sound of the room's one agent."""
        said = [recording for identity, recording in self.heard.items() if identity.startswith(AGENTS)]
        return said[-1] if said else Recording()

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.disconnect()

    def _on_track(self, track: rtc.Track, _: Any, sender: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.own(_listen(track, self.heard.setdefault(sender.identity, Recording())))

    def _reader_of(self, topic: str) -> Callable[[rtc.TextStreamReader, str], None]:
        return lambda reader, _: self.own(self._read(topic, reader))

    async def _read(self, topic: str, reader: rtc.TextStreamReader) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            text = await reader.read_all()
        attributes = dict(reader.info.attributes or {})
        texts = self.interims if attributes.get(FINAL) == "false" else self.texts
        texts.append(Text(topic, text, attributes))

    async def join(self, livekit: LiveKit, room: str, identity: str) -> None:
        self.room.on("track_subscribed", self._on_track)
        for topic in TOPICS:
            self.room.register_text_stream_handler(topic, self._reader_of(topic))
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.connect(livekit.url, livekit.token(room, identity), self.options)


S = TypeVar("S", bound=Seat)


@asynccontextmanager
async def seated(seat: S, livekit: LiveKit, room: str, identity: str) -> AsyncIterator[S]:
    """Yield a seat in `room`, left with the block."""
    await seat.join(livekit, room, identity)
    try:
        yield seat
    finally:
        with contextlib.suppress(TimeoutError):
            await seat.aclose()


async def _show(video: rtc.VideoSource, paint: Callable[[], bytes]) -> None:
    while True:
        video.capture_frame(rtc.VideoFrame(*SIZE_PX, rtc.VideoBufferType.RGBA, paint()))
        await asyncio.sleep(1 / FPS)


async def _listen(track: rtc.Track, recording: Recording) -> None:
    stream = rtc.AudioStream.from_track(
        track=track, sample_rate=HEARD_HZ, num_channels=1, frame_size_ms=HEARD_MS, capacity=200
    )
    try:
        async for event in stream:
            recording.add(event.frame)
    finally:
        await stream.aclose()
