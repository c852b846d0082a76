"""A sample clock keeps its period and never bursts; a track sampler uploads the frames that the gate keeps."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from itertools import pairwise
from typing import Any, cast

import pytest
from livekit import rtc
from PIL import Image
from structlog.testing import capture_logs

from room_agent.core.counters import Counters
from room_agent.core.models import FrameKept, SharedTrack
from room_agent.frames.i420 import Planes, rotated
from room_agent.video.events import FrameEvents
from room_agent.video.frame_gate import FrameGate, GateDecision
from room_agent.video.rate_control import RateControl
from room_agent.video.sampler import SampleClock, TrackPipeline, TrackSampler
from room_agent.video.uploader import FrameUploader
from room_agent.video.view_encoder import ViewEncoder
from tests.support.screens import Desktop, photo
from tests.unit.room_agent.offline import Clock, OfflineNewestFrame, OfflineRouter, OfflineTrack, until


def sampled_times_s(clock: SampleClock, *times_s: float) -> list[float]:
    return [now_s for now_s in times_s if clock.due(now_s)]


def frame_times_s(start_s: float, end_s: float, fps: float = 30) -> list[float]:
    return [start_s + number / fps for number in range(int((end_s - start_s) * fps))]


def test_the_first_frame_is_taken_at_once() -> None:
    assert SampleClock(1).due(1000.0)


def test_thirty_frames_a_second_become_one_sample_a_second() -> None:
    times_s = sampled_times_s(SampleClock(1), *frame_times_s(0, 60))
    assert len(times_s) == 60


def test_late_frames_do_not_shift_the_sample_times() -> None:
    # Each frame comes a seventh of a second after its time; drift would lose one sample in seven.
    times_s = sampled_times_s(SampleClock(1), *[0.0, *frame_times_s(1 / 7, 100, fps=7)])
    assert len(times_s) == 100
    assert times_s[-1] - times_s[0] == pytest.approx(99, abs=0.2)


def test_samples_missed_in_a_pause_are_not_caught_up() -> None:
    clock = SampleClock(1)
    before = sampled_times_s(clock, *frame_times_s(0, 3))
    after = sampled_times_s(clock, *frame_times_s(50.9, 54))
    assert len(before) == 3
    assert after[0] == 50.9
    assert min(later - earlier for earlier, later in pairwise(after)) >= 0.99


def test_two_samples_are_never_closer_than_half_a_period() -> None:
    clock = SampleClock(1)
    times_s = sampled_times_s(clock, *[number * 0.73 for number in range(500)])
    assert min(later - earlier for earlier, later in pairwise(times_s)) >= 0.5


def test_a_lower_rate_takes_effect_at_run_time() -> None:
    clock = SampleClock(1)
    clock.due(0.0)
    clock.fps = 0.2
    assert clock.next_due_s(1.0) == 5.0
    assert sampled_times_s(clock, 1.0, 4.9, 5.0, 9.9, 10.0) == [5.0, 10.0]
    assert clock.fps == pytest.approx(0.2)


def test_a_higher_rate_takes_effect_before_the_old_period_ends() -> None:
    clock = SampleClock(0.2)
    clock.due(0.0)
    clock.fps = 1
    assert sampled_times_s(clock, 0.5, 1.0, 1.5, 2.0, 3.0) == [1.0, 2.0, 3.0]


def test_a_missed_sample_is_due_at_once() -> None:
    clock = SampleClock(0.5)
    assert clock.next_due_s(7.0) == 7.0
    clock.due(7.0)
    assert clock.next_due_s(7.5) == 9.0
    assert clock.next_due_s(30.0) == 30.0


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_a_rate_of_zero_or_less_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SampleClock(fps)
    clock = SampleClock(1)
    with pytest.raises(ValueError, match="above 0"):
        clock.fps = fps


class SamplerHarness:
    """A track sampler with its real gate, rate and uploader, on a clock that its own sleep moves."""

    def __init__(self, router: OfflineRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.track = OfflineTrack()
        self.counters, self.events = Counters(), FrameEvents()
        self.kept: list[FrameKept] = []
        self.events.kept.append(self.kept.append)
        self.rate, gate = RateControl(1.0), FrameGate()
        shared = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")
        uploader = FrameUploader(shared, router.client, self.rate, self.counters, self.events, gate.forget, self.clock)
        views = ViewEncoder(640, None)
        pipeline = TrackPipeline(track=shared, rate=self.rate, gate=gate, views=views, uploader=uploader)
        self.sampler = TrackSampler(pipeline, self.counters, self.clock, lambda: 1_700_000_000.0)
        self.slept_s: list[float] = []
        self.pictures: deque[Planes | rtc.VideoFrame | None] = deque()
        """The picture of each sample to come; None where the publisher sends no further frame."""
        self.rotation = rtc.VideoRotation.VIDEO_ROTATION_0
        self.timestamps_us: deque[int] = deque()
        self._yield = asyncio.sleep
        monkeypatch.setattr("room_agent.video.sampler.NewestFrame", OfflineNewestFrame)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    def show(self, *pictures: Planes | rtc.VideoFrame | None) -> None:
        self.pictures.extend(pictures)

    async def run(self) -> None:
        """Sample the pictures, one a sample, to the end of the track."""
        await self._next()
        await self.sampler.run(self.track.as_track)

    async def _next(self) -> None:
        """Put the next picture into the track, and let the sampler read it."""
        if not self.pictures:
            self.track.end()
        elif isinstance(picture := self.pictures.popleft(), rtc.VideoFrame):
            self.track.receive(picture, self.rotation)
        elif picture is not None:
            self.track.show(picture, self.rotation, self.timestamps_us.popleft() if self.timestamps_us else 0)
        for _ in range(5):
            await self._yield(0)

    async def _sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        self.clock.now_s += delay_s
        await self._next()


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> SamplerHarness:
    return SamplerHarness(OfflineRouter(), monkeypatch)


async def test_a_new_frame_is_kept_and_a_repeated_one_is_counted(harness: SamplerHarness) -> None:
    dark = Desktop(dark=True).planes()
    harness.show(Desktop().planes(), Desktop().planes(), dark, dark)
    await harness.run()
    assert [event.frame.why for event in harness.kept] == ["first frame", "scene changed"]
    assert {event.track.sid for event in harness.kept} == {"TR_1"}
    counters = harness.counters
    assert (counters.frames_seen, counters.frames_kept, counters.frames_repeated) == (4, 2, 2)
    assert harness.kept[0].frame.captured_at_s == 1_700_000_000.0


async def test_a_sampler_sleeps_until_the_next_sample_is_due_and_closes_its_stream(harness: SamplerHarness) -> None:
    harness.show(*[Desktop().planes()] * 3)
    await harness.run()
    assert harness.slept_s == [1.0, 1.0, 1.0]
    assert [stream.closed for stream in harness.track.streams] == [True]


async def test_a_lowered_rate_takes_effect_at_the_next_frame(harness: SamplerHarness) -> None:
    harness.show(*[Desktop().planes()] * 4)
    harness.rate.slow_down()
    await harness.run()
    assert harness.counters.frames_seen == 3 and sum(harness.slept_s) == 6.0


async def test_a_rate_that_rises_between_two_samples_brings_the_next_one_forward(harness: SamplerHarness) -> None:
    harness.show(*[Desktop().planes()] * 4)
    harness.rate.step = 2
    harness.events.kept.append(lambda _: setattr(harness.rate, "step", 0))
    await harness.run()
    assert harness.counters.frames_seen == 4


async def test_looks_at_a_still_screen_raise_the_rate(harness: SamplerHarness) -> None:
    harness.show(*[Desktop().planes()] * 20)
    harness.rate.step, harness.rate.well = 1, True
    await harness.run()
    assert harness.rate.fps == 1.0


async def test_an_edit_that_is_drawn_once_is_sent_without_a_further_frame(harness: SamplerHarness) -> None:
    typed = Desktop().with_changes(lines=(*Desktop().lines, "a line typed now"))
    harness.show(Desktop().planes(), typed.planes(), None, None)
    await harness.run()
    assert [event.frame.why for event in harness.kept] == ["first frame", "text changed"]
    # Looking again at the frame at hand is no further frame, and ends once the edit is sent.
    assert harness.counters.frames_seen == 3 and harness.slept_s == [1.0] * 4


async def test_a_picture_that_is_drawn_once_and_lost_is_sent_again(harness: SamplerHarness) -> None:
    harness.show(Desktop().planes(), *[None] * 6)
    sampling = asyncio.create_task(harness.run())
    await until(lambda: harness.kept)
    # The gate waits for nothing now, so the sampler waits for a frame.
    await until(lambda: harness.track.streams[0].is_awaited)
    harness.sampler.frame_lost()
    await until(lambda: len(harness.kept) == 2)
    harness.track.end()
    await sampling
    assert [event.frame.why for event in harness.kept] == ["first frame"] * 2


async def test_the_picture_as_it_is_now_is_given_before_the_gate_keeps_it(harness: SamplerHarness) -> None:
    assert await harness.sampler.current_frame(1_536) is None
    typed = Desktop().with_changes(lines=(*Desktop().lines, "a line typed now"))
    harness.show(Desktop().planes(), typed.planes())
    await harness.run()
    (first,) = harness.kept
    now = await harness.sampler.current_frame(1_536)
    assert now is not None and now.why == "asked for" and now.jpeg != first.frame.jpeg
    small = await harness.sampler.current_frame(496)
    assert small is not None and small.size_px is not None and max(small.size_px) == 496


async def test_the_tiny_frame_at_a_tracks_end_is_skipped(harness: SamplerHarness) -> None:
    harness.track.show(photo((8, 8)))
    await harness.run()
    assert harness.counters.frames_seen == 0 and harness.kept == []


async def test_a_rotated_frame_is_sent_upright(harness: SamplerHarness) -> None:
    harness.rotation = rtc.VideoRotation.VIDEO_ROTATION_90
    harness.show(rotated(photo((640, 360)), 270))
    await harness.run()
    (event,) = harness.kept
    assert Image.open(io.BytesIO(event.frame.jpeg)).size == (640, 360)


async def test_an_unreadable_frame_is_counted_and_the_next_one_is_kept(harness: SamplerHarness) -> None:
    harness.show(rtc.VideoFrame(640, 360, rtc.VideoBufferType.I420, bytes(100)), Desktop().planes())
    await harness.run()
    counters = harness.counters
    assert (counters.frames_unreadable, counters.frames_seen, counters.frames_kept) == (1, 1, 1)


BAD_FRAMES = {
    "planes shorter than the size": rtc.VideoFrame(640, 360, rtc.VideoBufferType.I420, bytes(100)),
    "1 px high": rtc.VideoFrame(1_280, 1, rtc.VideoBufferType.I420, bytes(2_560)),
    "more than 16,384 px wide": rtc.VideoFrame(16_386, 64, rtc.VideoBufferType.I420, b""),
    "format of a later SDK": rtc.VideoFrame(640, 360, cast(Any, 77), bytes(345_600)),
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
async def test_a_track_of_bad_frames_is_logged_once_and_watched_on(
    harness: SamplerHarness, frame: rtc.VideoFrame
) -> None:
    harness.show(frame, frame, Desktop().planes(), frame, Desktop(dark=True).planes(), None)
    with capture_logs() as logs:
        await harness.run()
    assert harness.counters.frames_unreadable == 3 and harness.counters.frames_kept == 2
    assert [entry["event"] for entry in logs] == ["frame unreadable"]


async def test_frames_whose_size_and_timestamp_jump_are_judged_by_the_time_of_their_arrival(
    harness: SamplerHarness,
) -> None:
    harness.timestamps_us.extend([9_000_000, 5_000_000, -1, 7_000_000])
    harness.show(photo((16_384, 64)), photo((64, 1_921)), photo((641, 363)), None)
    await harness.run()
    assert harness.counters.frames_unreadable == 0
    assert [event.frame.why for event in harness.kept] == ["first frame", "size changed"]


@pytest.mark.parametrize("cancelled", [False, True], ids=["ends", "is cancelled"])
async def test_a_track_that_ends_during_a_decision_ends_its_sampler(
    harness: SamplerHarness, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    deciding, may_decide = threading.Event(), threading.Event()
    offer = FrameGate.offer

    def slow_offer(gate: FrameGate, planes: Planes, now_s: float) -> GateDecision:
        deciding.set()
        may_decide.wait(10.0)
        return offer(gate, planes, now_s)

    monkeypatch.setattr(FrameGate, "offer", slow_offer)
    harness.show(Desktop().planes())
    sampling = asyncio.create_task(harness.run())
    await asyncio.to_thread(deciding.wait, 10.0)
    harness.track.end()
    if cancelled:
        sampling.cancel()
        await asyncio.wait({sampling}, timeout=10.0)
    may_decide.set()
    await asyncio.wait({sampling}, timeout=10.0)
    assert sampling.done() and harness.track.streams[0].closed
    assert harness.counters.frames_kept == (0 if cancelled else 1)


async def test_a_share_that_goes_black_is_described_once_and_without_a_model(harness: SamplerHarness) -> None:
    black = Planes.from_i420(bytes([16]) * (640 * 360) + bytes([128]) * (640 * 180), 640, 360)
    harness.show(Desktop().planes(), *[black] * 6, Desktop().planes())
    await harness.run()
    known = [event.frame.known for event in harness.kept]
    assert [one is not None for one in known] == [False, True, False]
    assert known[1] is not None and "black" in known[1].description and known[1].cost_nanousd == 0
    assert harness.kept[2].frame.why == "first frame"


async def test_a_share_that_begins_black_is_not_described(harness: SamplerHarness) -> None:
    black = Planes.from_i420(bytes([16]) * (640 * 360) + bytes([128]) * (640 * 180), 640, 360)
    harness.show(*[black] * 6)
    await harness.run()
    assert harness.kept == [] and harness.counters.frames_repeated == 6


async def test_a_cancelled_sampler_closes_its_stream(harness: SamplerHarness) -> None:
    task = asyncio.create_task(harness.sampler.run(harness.track.as_track))
    await until(lambda: harness.track.streams)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() and harness.track.streams[0].closed
