"""An uploader sends the newest frame, emits an event for each, and reports lost frames to the gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack
from room_agent.video.black_screen import BLACK
from room_agent.video.events import FrameEvents
from room_agent.video.rate_control import RateControl
from room_agent.video.uploader import FrameUploader, UploadSlot
from tests.unit.room_agent.offline import Clock, OfflineRouter, until

TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")


def frame(number: int) -> KeptFrame:
    return KeptFrame(jpeg=b"jpeg", headers={"x-frame-track": str(number)}, why="scene changed", captured_at_s=number)


class UploaderHarness:
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
async def harness() -> AsyncIterator[UploaderHarness]:
    harness = UploaderHarness(OfflineRouter())
    task = asyncio.create_task(harness.uploader.run())
    yield harness
    task.cancel()
    await asyncio.wait({task})


async def test_a_slot_holds_the_newest_frame_and_ends_once_it_is_empty() -> None:
    slot = UploadSlot[int]()
    assert [slot.offer(number) for number in (1, 2)] == [None, 1]
    slot.end()
    async with asyncio.timeout(5.0):
        assert [await slot.next(), await slot.next()] == [2, None]


async def test_a_waiting_slot_hands_out_the_next_frame() -> None:
    slot = UploadSlot[int]()
    waiting = asyncio.create_task(slot.next())
    await asyncio.sleep(0)
    slot.offer(1)
    assert await waiting == 1 and slot.take() is None


async def test_a_frame_is_announced_sent_and_described(harness: UploaderHarness) -> None:
    harness.uploader.offer(frame(1))
    assert [(event.track, event.frame.captured_at_s) for event in harness.kept] == [(TRACK, 1)]
    await until(lambda: harness.described)
    (event,) = harness.described
    assert event.track == TRACK and event.frame == frame(1) and event.answer.description == "a slide"
    assert harness.counters.answers == 1 and harness.lost == 0


async def test_a_newer_frame_replaces_a_waiting_one(harness: UploaderHarness) -> None:
    harness.router.answering.clear()
    harness.uploader.offer(frame(1))
    await until(lambda: harness.router.requests)
    for number in (2, 3):
        harness.uploader.offer(frame(number))
    harness.router.answering.set()
    await until(lambda: len(harness.described) == 2)
    assert harness.sent == ["1", "3"] and harness.counters.frames_shed == 1
    # The newer frame shows the same track: the gate need not send it again.
    assert harness.lost == 0 and len(harness.kept) == 3


async def test_a_refused_frame_is_lost_and_lowers_the_rate(harness: UploaderHarness) -> None:
    harness.router.frame_statuses.append(503)
    harness.uploader.offer(frame(1))
    await until(lambda: harness.lost)
    assert harness.counters.frames_shed == 1 and harness.rate.fps == 0.5 and harness.described == []


async def test_no_frame_is_sent_before_the_retry_after_has_passed(harness: UploaderHarness) -> None:
    harness.router.frame_statuses.append(429)
    harness.router.retry_after_s = "5"
    harness.uploader.offer(frame(1))
    await until(lambda: harness.lost == 1)
    harness.clock.now_s += 4.9
    harness.uploader.offer(frame(2))
    await until(lambda: harness.lost == 2)
    harness.clock.now_s += 0.1
    harness.uploader.offer(frame(3))
    await until(lambda: harness.described)
    assert harness.sent == ["1", "3"]


async def test_an_expired_token_opens_the_room_and_sends_the_frame_again(harness: UploaderHarness) -> None:
    harness.router.frame_statuses.append(401)
    harness.uploader.offer(frame(1))
    await until(lambda: harness.described)
    assert harness.router.opened == 1 and harness.sent == ["1", "1"]
    assert harness.router.frames[-1]["authorization"] == "Bearer token-1" and harness.lost == 0


async def test_the_next_frame_waits_for_the_delivery_of_a_description(harness: UploaderHarness) -> None:
    delivered = asyncio.Event()

    async def deliver(_: FrameDescribed) -> None:
        await delivered.wait()

    harness.events.described.append(deliver)
    harness.uploader.offer(frame(1))
    await until(lambda: harness.described)
    harness.uploader.offer(frame(2))
    for _ in range(20):
        await asyncio.to_thread(lambda: None)
    assert harness.sent == ["1"]
    delivered.set()
    await until(lambda: len(harness.described) == 2)


async def test_an_ended_uploader_sends_its_last_frame_and_returns(harness: UploaderHarness) -> None:
    harness.router.answering.clear()
    running = asyncio.create_task(harness.uploader.run())
    harness.uploader.offer(frame(1))
    harness.uploader.end()
    harness.router.answering.set()
    await asyncio.wait_for(running, 5.0)
    await until(lambda: harness.described)
    assert harness.sent == ["1"]


async def test_a_frame_with_a_known_description_is_emitted_in_order_without_a_request(harness: UploaderHarness) -> None:
    harness.uploader.offer(replace(frame(1), known=BLACK))
    await until(lambda: harness.described)
    assert harness.described[0].answer == BLACK and harness.sent == [] and harness.counters.answers == 0


async def test_an_edit_is_sent_with_the_last_description_and_its_whole_is_kept(harness: UploaderHarness) -> None:
    harness.uploader.offer(frame(1))
    await until(lambda: harness.described)
    harness.uploader.offer(replace(frame(2), why="text changed"))
    await until(lambda: len(harness.described) == 2)
    assert [event.whole for event in harness.described] == ["a slide", "a slide a slide"]
    assert [headers["content-type"] for headers in harness.router.frames] == ["image/jpeg", "application/json"]


async def test_a_frame_that_shows_what_an_earlier_one_showed_takes_its_description(harness: UploaderHarness) -> None:
    harness.uploader.offer(replace(frame(1), key=1))
    await until(lambda: harness.described)
    harness.uploader.offer(replace(frame(2), key=2, same_as=1))
    await until(lambda: len(harness.described) == 2)
    first, again = harness.described
    assert harness.sent == ["1"] and again.reused and not first.reused
    assert again.answer.description == first.answer.description and again.answer.cost_nanousd == 0
    assert (harness.counters.frames_reused, harness.counters.answers, harness.counters.report()["frames_reused"]) == (
        1,
        1,
        1,
    )


async def test_a_frame_is_sent_where_the_earlier_one_was_not_described(harness: UploaderHarness) -> None:
    harness.router.frame_statuses.append(503)
    harness.uploader.offer(replace(frame(1), key=1))
    await until(lambda: harness.lost)
    for number in (2, 3):
        harness.uploader.offer(replace(frame(number), key=number, same_as=1))
        await until(lambda number=number: len(harness.described) == number - 1)
    assert harness.sent[-1] == "2" and [event.reused for event in harness.described] == [False, True]


@pytest.mark.parametrize(("status", "retry_after_s", "fps"), [(502, None, 1.0), (503, "0", 0.5), (429, "0", 0.5)])
async def test_an_outage_is_forgotten_at_the_first_answer_and_an_overload_is_not(
    harness: UploaderHarness, status: int, retry_after_s: str | None, fps: float
) -> None:
    harness.router.frame_statuses.append(status)
    harness.router.retry_after_s = retry_after_s
    harness.uploader.offer(frame(1))
    await until(lambda: harness.lost)
    assert harness.rate.fps == 0.5
    harness.uploader.offer(frame(2))
    await until(lambda: harness.described)
    assert harness.rate.fps == fps
