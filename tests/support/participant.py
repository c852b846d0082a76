"""A participant over real WebRTC: joins a room, publishes tracks, records texts and audio, and leaves."""

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
RECEIVED_RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
RECEIVED_FRAME_MS: Final = 10
"""The length of the received audio frames, and so the resolution at which the start of speech is measured."""
MAX_RECORDING_S: Final = 600
LOUD_RMS: Final = 300
TEXT_TOPICS: Final = (CAPTIONS, "lk.chat", DESCRIPTIONS)
AGENT_IDENTITY_PREFIXES: Final = ("agent", "rayroom-")
"""Prefixes of an agent's identity: in the process of a test, and as a job of the worker."""


@dataclass(frozen=True, slots=True)
class ReceivedText:
    """A text from one of the room's text streams, and its attributes."""

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


class AudioRecording:
    """The audio of one participant: the last ten minutes as 16-bit PCM of one channel."""

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
        samples = np.frombuffer(frame.data, np.int16)
        self.pcm += samples.tobytes()
        del self.pcm[: -2 * RECEIVED_RATE_HZ * MAX_RECORDING_S]
        if np.sqrt(np.mean(samples.astype(np.float32) ** 2)) >= LOUD_RMS:
            self.loud_ms += RECEIVED_FRAME_MS
            self._loud_until_s = asyncio.get_running_loop().time()
            self.loud_at_s = self.loud_at_s or self._loud_until_s


@dataclass
class Participant:
    """A participant that owns the tasks it starts; `connected` joins and leaves the room."""

    room: rtc.Room = field(default_factory=rtc.Room)
    texts: list[ReceivedText] = field(default_factory=list)
    partial_transcripts: list[ReceivedText] = field(default_factory=list)
    recordings: dict[str, AudioRecording] = field(default_factory=dict)
    options: rtc.RoomOptions = field(default_factory=rtc.RoomOptions)
    _published: dict[str, str] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def publish(self, name: str, track: rtc.LocalTrack, source: rtc.TrackSource.ValueType) -> str:
        """Publish a track; return its id. `unpublish` takes the same name."""
        options = rtc.TrackPublishOptions(source=source, simulcast=False)
        async with asyncio.timeout(TIMEOUT_S):
            publication = await self.room.local_participant.publish_track(track, options)
        self._published[name] = publication.sid
        return publication.sid

    async def publish_video(self, name: str, source: rtc.TrackSource.ValueType, paint: Callable[[], bytes]) -> str:
        """Publish the RGBA pictures that `paint` returns, `FPS` a second."""
        video = rtc.VideoSource(*SIZE_PX, is_screencast=True)
        sid = await self.publish(name, rtc.LocalVideoTrack.create_video_track("slides", video), source)
        self.start_task(_capture_video(video, paint))
        return sid

    async def unpublish(self, name: str) -> None:
        """Unpublish a track by its name."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.unpublish_track(self._published.pop(name))

    async def send_chat(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.send_text(text, topic="lk.chat")

    def texts_on(self, topic: str) -> list[ReceivedText]:
        return [text for text in self.texts if text.topic == topic]

    def answers(self) -> list[ReceivedText]:
        """Return the agent's answers: its transcription texts with a recipient."""
        return [text for text in self.texts_on(CAPTIONS) if TO in text.attributes]

    def agents(self) -> list[str]:
        """Return the identities of the agents in the room."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        participants = self.room.remote_participants.values()
        return [
            participant.identity
            for participant in participants
            if participant.kind == kind or participant.identity == AGENT_IDENTITY_PREFIXES[0]
        ]

    def agent_audio(self) -> AudioRecording:
        """Return the recording of the agent that joined last; an empty one if there is none."""
        recordings = [
            recording for identity, recording in self.recordings.items() if identity.startswith(AGENT_IDENTITY_PREFIXES)
        ]
        return recordings[-1] if recordings else AudioRecording()

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
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
            self.start_task(_record(track, self.recordings.setdefault(sender.identity, AudioRecording())))

    def _text_handler(self, topic: str) -> Callable[[rtc.TextStreamReader, str], None]:
        return lambda reader, _: self.start_task(self._read(topic, reader))

    async def _read(self, topic: str, reader: rtc.TextStreamReader) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            text = await reader.read_all()
        attributes = dict(reader.info.attributes or {})
        texts = self.partial_transcripts if attributes.get(FINAL) == "false" else self.texts
        texts.append(ReceivedText(topic, text, attributes))

    async def join(self, livekit: LiveKit, room: str, identity: str) -> None:
        self.room.on("track_subscribed", self._on_track)
        for topic in TEXT_TOPICS:
            self.room.register_text_stream_handler(topic, self._text_handler(topic))
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.connect(livekit.url, livekit.token(room, identity), self.options)


P = TypeVar("P", bound=Participant)


@asynccontextmanager
async def connected(participant: P, livekit: LiveKit, room: str, identity: str) -> AsyncIterator[P]:
    """Connect a participant to `room`, and disconnect it on exit."""
    await participant.join(livekit, room, identity)
    try:
        yield participant
    finally:
        with contextlib.suppress(TimeoutError):
            await participant.aclose()


async def _capture_video(video: rtc.VideoSource, paint: Callable[[], bytes]) -> None:
    while True:
        video.capture_frame(rtc.VideoFrame(*SIZE_PX, rtc.VideoBufferType.RGBA, paint()))
        await asyncio.sleep(1 / FPS)


async def _record(track: rtc.Track, recording: AudioRecording) -> None:
    stream = rtc.AudioStream.from_track(
        track=track, sample_rate=RECEIVED_RATE_HZ, num_channels=1, frame_size_ms=RECEIVED_FRAME_MS, capacity=200
    )
    try:
        async for event in stream:
            recording.add(event.frame)
    finally:
        await stream.aclose()
