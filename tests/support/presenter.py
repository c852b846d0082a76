"""A participant that shares numbered slides and receives their descriptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from room_agent.session import TOPIC
from tests.support.livekit_server import LiveKit
from tests.support.seat import SIZE_PX, Seat, Text, seated


@dataclass
class Presenter(Seat):
    """A participant; `slide` is the number on its screen."""

    slide: int = 1

    async def share(self, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_SCREENSHARE) -> str:
        """Publish a video track that shows the slide; return its id."""
        return await self.publish_video(str(source), source, lambda: _slide(self.slide))

    async def stop_sharing(self, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_SCREENSHARE) -> None:
        await self.withdraw(str(source))

    @property
    def descriptions(self) -> list[Text]:
        return self.on(TOPIC)


@asynccontextmanager
async def presenting(livekit: LiveKit, room: str, identity: str = "ann") -> AsyncIterator[Presenter]:
    """Yield a participant of `room` that leaves with the block."""
    async with seated(Presenter(), livekit, room, identity) as presenter:
        yield presenter


def _slide(number: int) -> bytes:
    image = Image.new("RGBA", SIZE_PX, "white")
    pen = ImageDraw.Draw(image)
    pen.text((120, 120), f"Slide {number}", fill="black", font=ImageFont.load_default(90))
    for line in range(8):
        pen.text((120, 260 + 40 * line), f"{number}.{line} " + "words " * (3 + (number * 7 + line) % 9), fill="black")
    return np.asarray(image).tobytes()
