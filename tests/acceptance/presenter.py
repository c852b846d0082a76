"""A person in a room: joins over real WebRTC, shares numbered slides, hears what the agent says of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import api, rtc
from PIL import Image, ImageDraw, ImageFont

from room_agent.attendance import TOPIC
from tests.acceptance.livekit_server import LiveKit

SIZE_PX = (1280, 720)
FPS = 5.0
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer on the room's text stream."""

    text: str
    attributes: dict[str, str]


@dataclass
class Presenter:
    """A participant; `slide` is the number on its screen now."""

    room: rtc.Room
    slide: int = 1
    heard: list[Heard] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def share(self, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_SCREENSHARE) -> str:
        """Publish a video track that shows the slide; returns its id."""
        video = rtc.VideoSource(*SIZE_PX, is_screencast=True)
        track = rtc.LocalVideoTrack.create_video_track("slides", video)
        async with asyncio.timeout(TIMEOUT_S):
            publication = await self.room.local_participant.publish_track(
                track, rtc.TrackPublishOptions(source=source, simulcast=False)
            )
        self._own(self._show(video))
        return publication.sid

    async def stop_sharing(self, sid: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.local_participant.unpublish_track(sid)

    def agents(self) -> list[str]:
        """Return the identities of the agents in the room."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return [one.identity for one in self.room.remote_participants.values() if one.kind == kind]

    def hear(self, reader: rtc.TextStreamReader, _: str) -> None:
        self._own(self._read(reader))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        async with asyncio.timeout(TIMEOUT_S):
            await self.room.disconnect()

    async def _show(self, video: rtc.VideoSource) -> None:
        while True:
            frame = rtc.VideoFrame(*SIZE_PX, rtc.VideoBufferType.RGBA, _slide(self.slide))
            video.capture_frame(frame)
            await asyncio.sleep(1 / FPS)

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            text = await reader.read_all()
        self.heard.append(Heard(text, dict(reader.info.attributes or {})))

    def _own(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def presenting(livekit: LiveKit, room: str, identity: str = "ann") -> AsyncIterator[Presenter]:
    """Yield a participant of `room`, gone with the block."""
    presenter = Presenter(rtc.Room())
    presenter.room.register_text_stream_handler(TOPIC, presenter.hear)
    async with asyncio.timeout(TIMEOUT_S):
        await presenter.room.connect(livekit.url, livekit.token(room, identity))
    try:
        yield presenter
    finally:
        with contextlib.suppress(TimeoutError):
            await presenter.aclose()


async def dispatch(livekit: LiveKit, room: str, metadata: dict[str, str] | str) -> None:
    """Ask for an agent in `room`, as the company's backend does."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    async with asyncio.timeout(TIMEOUT_S), api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as lk:
        await lk.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name="rayroom", room=room, metadata=text)
        )


def _slide(number: int) -> bytes:
    image = Image.new("RGBA", SIZE_PX, "white")
    pen = ImageDraw.Draw(image)
    pen.text((120, 120), f"Slide {number}", fill="black", font=ImageFont.load_default(90))
    for line in range(8):
        pen.text((120, 260 + 40 * line), f"{number}.{line} " + "words " * (3 + (number * 7 + line) % 9), fill="black")
    return np.asarray(image).tobytes()
