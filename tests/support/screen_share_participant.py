"""A participant that shares numbered slides and receives their descriptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from room_agent.session import TOPIC
from tests.support.livekit_server import LiveKit
from tests.support.participant import SIZE_PX, Participant, ReceivedText, connected


@dataclass
class ScreenShareParticipant(Participant):
    """A participant; `slide` is the number on its shared screen."""

    slide: int = 1

    async def share_screen(self, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_SCREENSHARE) -> str:
        """Publish a video track that shows the slide; return its id."""
        return await self.publish_video(str(source), source, lambda: _slide(self.slide))

    async def stop_sharing(self, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_SCREENSHARE) -> None:
        await self.unpublish(str(source))

    @property
    def descriptions(self) -> list[ReceivedText]:
        return self.texts_on(TOPIC)


@asynccontextmanager
async def joined_with_screen(
    livekit: LiveKit, room: str, identity: str = "ann"
) -> AsyncIterator[ScreenShareParticipant]:
    """Yield a participant of `room`; it leaves on exit."""
    async with connected(ScreenShareParticipant(), livekit, room, identity) as participant:
        yield participant


@lru_cache(maxsize=8)
def _slide(number: int) -> bytes:
    image = Image.new("RGBA", SIZE_PX, "white")
    draw = ImageDraw.Draw(image)
    draw.text((120, 120), f"Slide {number}", fill="black", font=ImageFont.load_default(90))
    for line in range(8):
        draw.text((120, 260 + 40 * line), f"{number}.{line} " + "words " * (3 + (number * 7 + line) % 9), fill="black")
    return np.asarray(image).tobytes()
