"""Feeds one microphone's frames to the voice activity detector, and drops audio once the detector lags too far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from livekit import rtc

from room_agent.audio.level_gate import LevelGate
from room_agent.audio.pcm import RATE_HZ, SILENCE
from room_agent.audio.transcripts import SttCounters
from room_agent.audio.vad import SpeechDetector

MAX_LAG_S = 2.0
MISSING_FRAME_S = 0.5
"""A microphone without a frame for this long counts as muted."""


class AudioBuffer:
    """The audio between one microphone and its detector."""

    def __init__(self, detector: SpeechDetector, counters: SttCounters) -> None:
        self._detector = detector
        self._counters = counters
        self._gate = LevelGate()
        self._received_at_s = 0.0
        self._pushed = 0
        self.processed = 0
        """The number of pushed samples that the detector has processed."""

    @property
    def lag_s(self) -> float:
        """Return the length of the audio that the detector has not processed yet."""
        return (self._pushed - self.processed) / RATE_HZ

    async def run(
        self, frames: AsyncIterator[rtc.AudioFrame], ended: asyncio.Event, is_speaking: Callable[[], bool]
    ) -> None:
        """Push frames until they end or `ended` is set, then end the detector's input.

        A muted microphone sends no frames. While `is_speaking`, silence is pushed instead, so that the speech ends.
        """
        loop = asyncio.get_running_loop()
        self._received_at_s = loop.time()
        # One task for all frames: a task and a timeout for each would cost more than the detector.
        receiving = asyncio.create_task(self._receive_all(frames, is_speaking), name="microphone frames")
        ending = asyncio.create_task(ended.wait(), name="microphone end")
        try:
            # The frames of an unsubscribed track do not end: they go on as silence, or none arrives any more.
            while not (receiving.done() or ending.done()):
                missing_at_s = self._received_at_s + MISSING_FRAME_S
                if loop.time() >= missing_at_s:
                    self._received_at_s = loop.time()
                    if is_speaking():
                        self._push(SILENCE)
                    continue
                timeout_s = missing_at_s - loop.time()
                await asyncio.wait({receiving, ending}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
        finally:
            receiving.cancel()
            ending.cancel()
            self._detector.end_input()

    async def _receive_all(self, frames: AsyncIterator[rtc.AudioFrame], is_speaking: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        async for frame in frames:
            self._received_at_s = loop.time()
            self._receive(frame, is_speaking())

    def _receive(self, frame: rtc.AudioFrame, is_speaking: bool) -> None:
        passed = self._gate.passed(frame, is_speaking)
        if not passed:
            self._counters.audio_quiet_ms += round(1_000 * frame.duration)
        for one in passed:
            self._push(one)

    def _push(self, frame: rtc.AudioFrame) -> None:
        if self.lag_s > MAX_LAG_S:
            self._counters.audio_dropped_ms += round(1_000 * frame.duration)
            return
        self._pushed += frame.samples_per_channel
        self._detector.push(frame)
