"""A microphone's frames reach the detector until they end; a muted microphone's are replaced by silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from livekit import rtc

from room_agent.audio.buffer import AudioBuffer
from room_agent.audio.pcm import RATE_HZ, SILENCE, WINDOW_S
from room_agent.audio.transcripts import SttCounters
from room_agent.audio.vad import SpeechDetector
from tests.unit.room_agent.offline import until

WINDOW = round(WINDOW_S * RATE_HZ)
LOUD = rtc.AudioFrame(b"\x00\x20" * WINDOW, RATE_HZ, 1, WINDOW)


class RecordedDetector:
    """Stores the frames that are pushed."""

    def __init__(self) -> None:
        self.frames: list[rtc.AudioFrame] = []
        self.ended = False

    def push(self, frame: rtc.AudioFrame) -> None:
        self.frames.append(frame)

    def end_input(self) -> None:
        self.ended = True


class BufferHarness:
    """A buffer with a queue of frames before it and a recorded detector behind it."""

    def __init__(self) -> None:
        self.detector = RecordedDetector()
        self.queue: asyncio.Queue[rtc.AudioFrame | Exception | None] = asyncio.Queue()
        self.ended, self.is_speaking = asyncio.Event(), False
        buffer = AudioBuffer(cast(SpeechDetector, self.detector), SttCounters())
        self.task = asyncio.create_task(buffer.run(self._frames(), self.ended, lambda: self.is_speaking))

    async def _frames(self) -> AsyncIterator[rtc.AudioFrame]:
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def end(self) -> None:
        async with asyncio.timeout(5.0):
            await self.task


async def test_frames_are_pushed_until_they_end() -> None:
    harness = BufferHarness()
    for item in (LOUD, LOUD, None):
        harness.queue.put_nowait(item)
    await harness.end()
    assert harness.detector.frames == [LOUD, LOUD] and harness.detector.ended


async def test_a_removed_microphone_ends_without_a_further_frame() -> None:
    harness = BufferHarness()
    harness.ended.set()
    await harness.end()
    assert harness.detector.frames == [] and harness.detector.ended


@pytest.mark.parametrize("is_speaking", [True, False])
async def test_silence_takes_the_place_of_the_frames_that_a_muted_speaker_does_not_send(
    monkeypatch: pytest.MonkeyPatch, is_speaking: bool
) -> None:
    monkeypatch.setattr("room_agent.audio.buffer.MISSING_FRAME_S", 0.005)
    harness = BufferHarness()
    harness.is_speaking = is_speaking
    harness.queue.put_nowait(LOUD)
    await until(lambda: harness.detector.frames.count(SILENCE) >= 2 or not is_speaking)
    harness.queue.put_nowait(None)
    await harness.end()
    assert harness.detector.frames[0] is LOUD and (SILENCE in harness.detector.frames) == is_speaking


async def test_an_error_of_the_frames_ends_the_detectors_input_and_is_raised() -> None:
    harness = BufferHarness()
    harness.queue.put_nowait(ConnectionError())
    with pytest.raises(ConnectionError):
        await harness.end()
    assert harness.detector.ended
