"""An uploader sends the newest frame, emits an event for each, and reports lost frames to the gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack
from room_agent.video.events import FrameEvents
from room_agent.video.rate_control import RateControl
from room_agent.video.uploader import FrameUploader
from tests.unit.room_agent.offline import Clock, OfflineRouter, until

TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")


def frame(number: int) -> KeptFrame:
    return KeptFrame(jpeg=b"jpeg", headers={"x-frame-track": str(number)}, why="scene changed", captured_at_s=number)


class Uploading:
    """An uploader that runs in a task, and everything it reports."""

    def __init__(self, router: OfflineRouter) -> None:
        self.router = router
        self.clock, self.rate = Clock(), RateControl(1.0)
        self.counters, self.events = Counters(), FrameEvents()
        self.kept: list[FrameKept] = []
        self.described: list[FrameDescribed] = []
        self.lost = 0
        self.events.kept.append(self.kept.append)
        self.events.described.append(self.described.append)
        self.uploader = FrameUploader(
            TRACK, router.client, self.rate, self.counters, self.events, self._on_lost, self.clock
        )

    def _on_lost(self) -> None:
        self.lost += 1

    @property
    def sent(self) -> list[str]:
        return [headers["x-frame-track"] for headers in self.router.frames]


@pytest.fixture
async def uploading() -> AsyncIterator[Uploading]:
    async with OfflineRouter().running() as router:
        uploading = Uploading(router)
        task = asyncio.create_task(uploading.uploader.run())
        yield uploading
        task.cancel()
        await asyncio.wait({task})


async def test_a_frame_is_announced_sent_and_described(uploading: Uploading) -> None:
    uploading.uploader.offer(frame(1))
    assert [(event.track, event.frame.captured_at_s) for event in uploading.kept] == [(TRACK, 1)]
    await until(lambda: uploading.described)
    (event,) = uploading.described
    assert event.track == TRACK and event.frame == frame(1) and event.answer.description == "a slide"
    assert uploading.counters.answers == 1 and uploading.lost == 0


async def test_a_newer_frame_replaces_a_waiting_one(uploading: Uploading) -> None:
    uploading.router.answering.clear()
    uploading.uploader.offer(frame(1))
    await until(lambda: uploading.router.requests)
    for number in (2, 3):
        uploading.uploader.offer(frame(number))
    uploading.router.answering.set()
    await until(lambda: len(uploading.described) == 2)
    assert uploading.sent == ["1", "3"] and uploading.counters.frames_shed == 1
    # The newer frame shows the same track: the gate need not send it again.
    assert uploading.lost == 0 and len(uploading.kept) == 3


async def test_a_refused_frame_is_lost_and_lowers_the_rate(uploading: Uploading) -> None:
    uploading.router.frame_statuses.append(503)
    uploading.uploader.offer(frame(1))
    await until(lambda: uploading.lost)
    assert uploading.counters.frames_shed == 1 and uploading.rate.fps == 0.5 and uploading.described == []


async def test_no_frame_is_sent_before_the_retry_after_has_passed(uploading: Uploading) -> None:
    uploading.router.frame_statuses.append(429)
    uploading.router.retry_after_s = "5"
    uploading.uploader.offer(frame(1))
    await until(lambda: uploading.lost == 1)
    uploading.clock.now_s += 4.9
    uploading.uploader.offer(frame(2))
    await until(lambda: uploading.lost == 2)
    uploading.clock.now_s += 0.1
    uploading.uploader.offer(frame(3))
    await until(lambda: uploading.described)
    assert uploading.sent == ["1", "3"]


async def test_an_expired_token_opens_the_room_and_sends_the_frame_again(uploading: Uploading) -> None:
    uploading.router.frame_statuses.append(401)
    uploading.uploader.offer(frame(1))
    await until(lambda: uploading.described)
    assert uploading.router.opened == 1 and uploading.sent == ["1", "1"]
    assert uploading.router.frames[-1]["authorization"] == "Bearer token-1" and uploading.lost == 0


async def test_the_next_frame_waits_for_the_delivery_of_a_description(uploading: Uploading) -> None:
    delivered = asyncio.Event()

    async def deliver(_: FrameDescribed) -> None:
        await delivered.wait()

    uploading.events.described.append(deliver)
    uploading.uploader.offer(frame(1))
    await until(lambda: uploading.described)
    uploading.uploader.offer(frame(2))
    for _ in range(20):
        await asyncio.to_thread(lambda: None)
    assert uploading.sent == ["1"]
    delivered.set()
    await until(lambda: len(uploading.described) == 2)


async def test_an_ended_uploader_sends_its_last_frame_and_returns(uploading: Uploading) -> None:
    uploading.router.answering.clear()
    running = asyncio.create_task(uploading.uploader.run())
    uploading.uploader.offer(frame(1))
    uploading.uploader.end()
    uploading.router.answering.set()
    await asyncio.wait_for(running, 5.0)
    await until(lambda: uploading.described)
    assert uploading.sent == ["1"]
