"""Gives one microphone's sound to its detector for as long as there is a microphone. Knows no word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from livekit import rtc

from room_agent.audio.pcm import RATE_HZ, SILENCE
from room_agent.audio.utterance import HearingCounters
from room_agent.audio.vad import SpeechDetector

MOST_BEHIND_S = 2.0
STILL_S = 0.5


class AudioBuffer:
    """From a microphone's first frame to its last."""

    def __init__(self, detector: SpeechDetector, counters: HearingCounters) -> None:
        self._detector = detector
        self._counters = counters
        self._given = 0
        self.seen = 0
        """How many samples of what it was given the detector has seen."""

    @property
    def behind_s(self) -> float:
        """How much sound the detector has not seen yet."""
        return (self._given - self.seen) / RATE_HZ

    async def run(self, frames: AsyncIterator[rtc.AudioFrame], gone: asyncio.Event, speaks: Callable[[], bool]) -> None:
        """Give what comes, and silence where nothing does while somebody speaks: a muted microphone sends no frames."""
        coming: asyncio.Future[rtc.AudioFrame] | None = None
        try:
            # A track that was taken away does not end: it goes on in silence, or nothing comes of it.
            while not gone.is_set():
                coming = coming or asyncio.ensure_future(anext(frames))
                await asyncio.wait({coming}, timeout=STILL_S)
                if not coming.done():
                    if speaks():
                        self._give(SILENCE)
                    continue
                done, coming = coming, None
                self._give(done.result())
        except StopAsyncIteration:
            pass
        finally:
            if coming is not None:
                coming.cancel()
            self._detector.end_input()

    def _give(self, frame: rtc.AudioFrame) -> None:
        if self.behind_s > MOST_BEHIND_S:
            self._counters.audio_dropped_ms += round(1_000 * frame.duration)
            return
        self._given += frame.samples_per_channel
        self._detector.push(frame)
