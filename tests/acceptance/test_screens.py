"""Shared screens of publishers that draw once, and of those that never rest, as the simulated vendor receives them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from livekit import rtc
from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.engines.answerer import RuleAnswerer
from cluster.lab.emulator.engines.ocr import OcrEngine
from room_agent.session import TOPIC
from tests.support.eventually import eventually
from tests.support.knowledge_base import random_number
from tests.support.livekit_server import LiveKit
from tests.support.meeting import Meeting, open_meeting
from tests.support.participant import Participant, connected
from tests.support.screens import prose
from tests.support.stack import System

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASKS_SLIDE = "What number is on the slide?"
SIZE_PX = (1_222, 702)
"""Decoders end the lines of such a picture with padding, which must not reach the agent."""
SENT_WITHIN_S = 4.0
"""The three seconds in which an edit is to be sent, and one for a machine that runs the whole system."""
LOST_AFTER_S = 5.0
VIDEO_BOX = (800, 120, 1200, 420)
VIDEO_LOOKS = 12
MOST_VIDEO_FRAMES = 4
_BOXES = re.compile(r"\((\d+), (\d+), (\d+), (\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionRequest:
    """A request as the vendor received it: the text read from its pictures, and the boxes named in its prompt."""

    shown: str = field(repr=False)
    moving: tuple[tuple[int, ...], ...]


class ReadingVendor:
    """A vendor that reads pictures by OCR and records each request that holds one."""

    def __init__(self) -> None:
        self._ocr = OcrEngine()
        self._answerer = RuleAnswerer(self._ocr.describe)
        self.requests: list[VisionRequest] = []

    def answer(self, turns: Sequence[RequestMessage]) -> str:
        images, text = turns[-1].images, turns[-1].text
        if images:
            shown = " ".join(self._ocr.describe(image) for image in images)
            boxes = tuple(tuple(map(int, box)) for box in _BOXES.findall(text) if "a video or an animation" in text)
            self.requests.append(VisionRequest(shown=shown, moving=boxes))
        return self._answerer.answer(turns)

    def saw(self, number: int) -> Callable[[], bool]:
        """Return a condition: whether any picture showed this number."""
        return lambda: any(str(number) in request.shown for request in self.requests)


@dataclass
class DrawingParticipant(Participant):
    """A participant whose screen is sent only when it draws, as Android and native publishers do."""

    video: rtc.VideoSource = field(default_factory=lambda: rtc.VideoSource(*SIZE_PX, is_screencast=True))

    async def share_screen(self) -> None:
        track = rtc.LocalVideoTrack.create_video_track("screen", self.video)
        await self.publish("screen", track, rtc.TrackSource.SOURCE_SCREENSHARE)

    def draw(self, image: Image.Image) -> float:
        """Send one picture; return the present time."""
        pixels = np.asarray(image.convert("RGBA")).tobytes()
        self.video.capture_frame(rtc.VideoFrame(*SIZE_PX, rtc.VideoBufferType.RGBA, pixels))
        return time.time()

    def sent_at_s(self, number: int) -> float:
        """Return the time at which the agent took the frame whose description has this number."""
        (sent,) = (text for text in self.texts_on(TOPIC) if str(number) in text.text)
        return float(sent.attributes["captured_at"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedScreen:
    """A room in which one participant shares a screen that the agent samples."""

    vendor: ReadingVendor
    meeting: Meeting
    ann: DrawingParticipant

    async def looks(self) -> float:
        """Return the number of frames at which the agent has looked."""
        counters = await self.meeting.stack.counters(self.meeting.room)
        return counters.get("frames_seen", 0) + counters.get("frames_unreadable", 0)

    async def wait_for_looks(self, looks: float, timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            while await self.looks() < looks:
                await asyncio.sleep(0.2)

    async def draw_until_described(self, number: int) -> None:
        """Draw a page several times, as one that loads, until the vendor reads its number."""
        async with asyncio.timeout(60.0):
            while not self.vendor.saw(number)():
                self.ann.draw(page(number))
                await asyncio.sleep(1.0)

    async def draw_once(self, number: int) -> float:
        """Draw a page, again only if nothing arrives: nobody learns that a lone frame was lost. Return the time."""
        while True:
            looks, drawn_at_s = await self.looks(), self.ann.draw(page(number))
            with contextlib.suppress(TimeoutError):
                await self.wait_for_looks(looks + 1, LOST_AFTER_S)
                return drawn_at_s


@pytest.fixture
def vendor(system: System) -> Iterator[ReadingVendor]:
    reading = ReadingVendor()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.emulator.state, "engines", Engines(answerer=reading.answer))
        yield reading


@asynccontextmanager
async def shared_screen(system: System, vendor: ReadingVendor, room: str) -> AsyncIterator[SharedScreen]:
    """Yield a room once its agent receives the frames of a share, on which nothing is drawn yet."""
    livekit: LiveKit = system.stack.livekit
    async with (
        open_meeting(system.stack, room) as meeting,
        connected(DrawingParticipant(), livekit, room, "ann") as ann,
    ):
        screen = SharedScreen(vendor=vendor, meeting=meeting, ann=ann)
        await ann.share_screen()
        # The SDK sends black frames until the first is drawn. One drawn before the subscription would be lost.
        await screen.wait_for_looks(1)
        yield screen


def page(number: int) -> Image.Image:
    """Return a document with a number on its last line, which is its only number."""
    image = Image.new("RGB", SIZE_PX, "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(prose(9, words=8)):
        draw.text((80, 60 + 50 * row), line, fill="black", font=ImageFont.load_default(22))
    draw.text((80, 600), str(number), fill="black", font=ImageFont.load_default(26))
    return image


def page_with_video(number: int, moment: int) -> Image.Image:
    """Return the document with one moment of a video beside it."""
    image, (left, top, right, bottom) = page(number), VIDEO_BOX
    colours = np.random.default_rng(moment).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    image.paste(Image.fromarray(colours).resize((right - left, bottom - top)), (left, top))
    return image


async def test_a_screen_drawn_once_is_described_and_an_edit_drawn_once_is_sent_and_asked_about(
    system: System, vendor: ReadingVendor
) -> None:
    first, edited, newest = random_number(), random_number(), random_number()
    async with shared_screen(system, vendor, "tenant_acme_drawn") as screen:
        ann = screen.ann
        await screen.draw_until_described(first)
        drawn_at_s = await screen.draw_once(edited)
        await eventually(lambda: any(str(edited) in text.text for text in ann.texts_on(TOPIC)))
        assert ann.sent_at_s(edited) - drawn_at_s <= SENT_WITHIN_S
        await screen.draw_once(newest)
        await ann.send_chat(ASKS_SLIDE)
        await eventually(ann.answers)
        assert [answer.text for answer in ann.answers()] == [f"The number on the slide is {newest}."]


async def test_an_edit_beside_a_video_is_sent_and_the_video_is_not_paid_for_every_second(
    system: System, vendor: ReadingVendor
) -> None:
    shown, edited = random_number(), random_number()
    numbers = [shown]
    async with shared_screen(system, vendor, "tenant_acme_video") as screen:

        async def play() -> None:
            moment = 0
            while True:
                screen.ann.draw(page_with_video(numbers[-1], moment := moment + 1))
                await asyncio.sleep(0.2)

        screen.ann.start_task(play())
        await eventually(vendor.saw(shown))
        before = await screen.looks()
        await screen.wait_for_looks(before + VIDEO_LOOKS)
        assert len(vendor.requests) <= MOST_VIDEO_FRAMES
        numbers.append(edited)
        await eventually(vendor.saw(edited))
        (request,) = (request for request in vendor.requests if str(edited) in request.shown)
        (box,) = request.moving
        assert np.allclose(box, _thousandths(VIDEO_BOX), atol=40)
        assert len(vendor.requests) <= MOST_VIDEO_FRAMES + 1


def _thousandths(box_px: tuple[int, int, int, int]) -> list[float]:
    return [1_000 * edge / SIZE_PX[at % 2] for at, edge in enumerate(box_px)]
