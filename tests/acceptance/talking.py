"""People in a room who speak, write, and hear: over real WebRTC, with voices that only a detector takes for human."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc

from cluster.demo.vowels import RATE_HZ, silence, speech
from room_agent.captions import TOPIC
from tests.acceptance.livekit_server import LiveKit

TIMEOUT_S = 60.0
FRAME_MS = 20
LOUD_RMS = 300.0
AGENTS = ("agent", "rayroom-")
"""How the identity of an agent begins: in a test's own process, and as a job."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the room's text stream, and whose it is."""

    text: str
    attributes: dict[str, str]

    @property
    def identity(self) -> str:
        return self.attributes["rayroom.identity"]

    @property
    def sources(self) -> list[str]:
        return list(json.loads(self.attributes.get("rayroom.sources", "[]")))


@dataclass
class Talker:
    """A participant with a microphone."""

    room: rtc.Room
    lines: list[Line] = field(default_factory=list)
    heard_ms: int = 0
    """How much of the agent's voice was loud enough to be heard."""
    heard_at_s: float | None = None
    _microphone: rtc.AudioSource | None = None
    _sid: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def unmute(self) -> None:
        """Publish a microphone."""
        self._microphone = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        async with asyncio.timeout(TIMEOUT_S):
            self._sid = (await self.room.local_participant.publish_track(track, options)).sid

    async def hang_up(self) -> None:
        """Take the microphone away again."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.unpublish_track(self._sid)

    async def speak(self, duration_ms: int, then_silent_ms: int = 600, pitch_hz: int = 120) -> float:
        """Speak in real time; returns when the voice fell silent, by the loop's clock."""
        await self.play(speech(duration_ms, pitch_hz))
        fell_silent_s = asyncio.get_running_loop().time()
        await self.play(silence(then_silent_ms))
        return fell_silent_s

    async def play(self, pcm: bytes) -> None:
        assert self._microphone is not None
        step = 2 * RATE_HZ * FRAME_MS // 1_000
        for start in range(0, len(pcm) - step + 1, step):
            frame = rtc.AudioFrame(pcm[start : start + step], RATE_HZ, 1, step // 2)
            await self._microphone.capture_frame(frame)

    async def write(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.send_text(text, topic="lk.chat")

    def answers(self) -> list[Line]:
        """Return what the agent answered to somebody."""
        return [line for line in self.lines if "rayroom.to" in line.attributes]

    def told(self) -> list[str]:
        """Return what the agent said of itself."""
        return [
            line.text for line in self.lines if line.identity.startswith(AGENTS) and "rayroom.to" not in line.attributes
        ]

    def hear(self, track: rtc.Track, _: Any, sender: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and sender.identity.startswith(AGENTS):
            self._own(self._listen(track))

    def read(self, reader: rtc.TextStreamReader, _: str) -> None:
        self._own(self._read(reader))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.disconnect()

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS)
        async for event in stream:
            sound = np.frombuffer(event.frame.data, np.int16).astype(np.float32)
            if np.sqrt(np.mean(sound**2)) >= LOUD_RMS:
                self.heard_ms += FRAME_MS
                self.heard_at_s = self.heard_at_s or asyncio.get_running_loop().time()

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            text = await reader.read_all()
        self.lines.append(Line(text, dict(reader.info.attributes or {})))

    def _own(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str) -> AsyncIterator[Talker]:
    """Yield a participant of `room` with a microphone, gone with the block."""
    talker = Talker(rtc.Room())
    talker.room.on("track_subscribed", talker.hear)
    talker.room.register_text_stream_handler(TOPIC, talker.read)
    async with asyncio.timeout(TIMEOUT_S):
        await talker.room.connect(livekit.url, livekit.token(room, identity))
    await talker.unmute()
    try:
        yield talker
    finally:
        with contextlib.suppress(TimeoutError):
            await talker.aclose()
