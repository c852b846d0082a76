"""Says when a voice begins and ends: a model says that it is one, the sound's level since when it is silent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents import inference
from livekit.agents.vad import VADEvent, VADEventType

from room_agent.audio.pcm import RATE_HZ, WINDOW_S

BLOCK = 128
BLOCK_S = BLOCK / RATE_HZ
QUIET = 1 / 32
"""Against the loudest of late (-30 dB): the breath of an "s" at a word's end is some 20 dB below its vowels."""
LEAST_QUIET = 1 / 8
"""Where the room is louder than this against the voice, its level does not tell when the voice ended."""
OVER_FLOOR = 2.5
_FADES = 0.998
_RISES, _RISES_BY = 1.01, 0.5


class SignalLevel:
    """One microphone's, in blocks of 8 ms. The thresholds were found on 60 voices under noise of up to -40 dBFS."""

    def __init__(self) -> None:
        self.quiet_s = 0.0
        """For how long the sound has been as quiet as the room was before."""
        self._loudest = 0.0
        self._floor = float("inf")
        self._latest = 0.0

    def begin(self) -> None:
        """Measure from now on against a voice that has just begun."""
        self._loudest = self._latest

    def hear(self, frame: rtc.AudioFrame) -> None:
        """Take in whole blocks of 16-bit sound."""
        blocks = np.frombuffer(frame.data, np.int16).reshape(-1, BLOCK).astype(np.float32)
        levels = np.sqrt(np.mean(blocks**2, axis=1)).tolist()
        self._latest = max(levels)
        for level in levels:
            self._loudest = max(level, self._loudest * _FADES)
            self._floor = min(level, self._floor * _RISES + _RISES_BY)
            self.quiet_s = 0.0 if level >= self._threshold() else self.quiet_s + BLOCK_S

    def _threshold(self) -> float:
        return max(self._loudest * QUIET, min(self._floor * OVER_FLOOR, self._loudest * LEAST_QUIET))


VOICE, NO_VOICE = 0.5, 0.35
"""Of what probability a voice begins, and ends; livekit's defaults."""
USUALLY_LATE_S = 0.064
EARLIEST_S, LATEST_S = -WINDOW_S, 4 * WINDOW_S
"""How late the model notices silence: it goes on hearing a voice for 0 to 110 ms, in a noisy room for longer."""


class SpeechDetector:
    """One microphone's. How late the model is, is measured at each silence and taken off the rest of the pause."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._vad = inference.VAD(
            model="silero",
            min_silence_duration=whole_windows_s(pause_s),
            activation_threshold=VOICE,
            deactivation_threshold=NO_VOICE,
        )
        self._stream = self._vad.stream()
        self._noticed_s = pause_s
        self._level = SignalLevel()
        self.silent_s = 0.0
        """How long the voice has been silent; 0 while it speaks."""

    def push(self, frame: rtc.AudioFrame) -> None:
        self._stream.push_frame(frame)

    def end_input(self) -> None:
        self._stream.end_input()

    async def events(self) -> AsyncIterator[VADEvent]:
        """Yield what the model says, window by window, until the input has ended."""
        async for event in self._stream:
            if event.type == VADEventType.START_OF_SPEECH:
                self._level.begin()
            elif event.type == VADEventType.INFERENCE_DONE:
                self._judge(event)
            yield event

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _judge(self, event: VADEvent) -> None:
        self._level.hear(event.frames[0])
        if event.probability > NO_VOICE:
            self.silent_s = 0.0
            self._notice(self._pause_s)
            return
        # What the event carries does not count its own window yet.
        noticed_s = event.raw_accumulated_silence + WINDOW_S
        late_s = late_by_s(self._level.quiet_s, noticed_s)
        self.silent_s = noticed_s + late_s
        self._notice(self._pause_s - late_s)

    def _notice(self, silent_s: float) -> None:
        # While somebody speaks, and in a long silence, it stays the same from window to window.
        if silent_s != self._noticed_s:
            self._noticed_s = silent_s
            self._vad.update_options(min_silence_duration=whole_windows_s(silent_s))


def late_by_s(quiet_s: float, noticed_s: float) -> float:
    """Return how late the model noticed a silence, `quiet_s` long by the level; the usual where that hears none."""
    return min(max(quiet_s - noticed_s, EARLIEST_S), LATEST_S) if quiet_s > 0 else USUALLY_LATE_S


def whole_windows_s(silent_s: float) -> float:
    """Return what to set the model to, so that it has noticed about `silent_s` of silence; it counts whole windows."""
    windows = max(1, round(silent_s / WINDOW_S))
    return (windows - 0.5) * WINDOW_S
