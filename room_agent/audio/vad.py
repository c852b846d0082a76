"""Detects the start and end of speech: a model detects the voice, the signal level times the silence after it."""

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
"""Relative to the recent peak level (-30 dB): the breath of an "s" at a word's end is some 20 dB below its vowels."""
MAX_QUIET = 1 / 8
"""In a room noisier than this, relative to the voice, the level cannot tell when the voice ended."""
ABOVE_FLOOR = 2.5
_PEAK_DECAY = 0.998
_FLOOR_RISE, _FLOOR_RISE_BY = 1.01, 0.5


class SignalLevel:
    """One microphone's level in blocks of 8 ms. The thresholds were tuned on 60 voices in noise of up to -40 dBFS."""

    def __init__(self) -> None:
        self.quiet_s = 0.0
        """How long the signal has been as quiet as the room was before the voice."""
        self._peak = 0.0
        self._floor = float("inf")
        self._latest = 0.0

    def begin(self) -> None:
        """Measure from now on against a voice that has just begun."""
        self._peak = self._latest

    def push(self, frame: rtc.AudioFrame) -> None:
        """Process 16-bit audio of a whole number of blocks."""
        blocks = np.frombuffer(frame.data, np.int16).reshape(-1, BLOCK).astype(np.float32)
        levels = np.sqrt(np.mean(blocks**2, axis=1)).tolist()
        self._latest = max(levels)
        for level in levels:
            self._peak = max(level, self._peak * _PEAK_DECAY)
            # The floor follows quieter blocks at once and louder ones slowly: speech must not lift it.
            self._floor = min(level, self._floor * _FLOOR_RISE + _FLOOR_RISE_BY)
            self.quiet_s = 0.0 if level >= self._threshold() else self.quiet_s + BLOCK_S

    def _threshold(self) -> float:
        return max(self._peak * QUIET, min(self._floor * ABOVE_FLOOR, self._peak * MAX_QUIET))


VOICE, NO_VOICE = 0.5, 0.35
"""The probabilities at which the model starts and ends a voice; livekit's defaults."""
USUAL_DELAY_S = 0.064
MIN_DELAY_S, MAX_DELAY_S = -WINDOW_S, 4 * WINDOW_S
"""The model reports silence 0 to 110 ms late, and later in a noisy room."""


class SpeechDetector:
    """One microphone's detector. The model's delay is measured at each silence and subtracted from the pause."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._vad = inference.VAD(
            model="silero",
            min_silence_duration=whole_windows_s(pause_s),
            activation_threshold=VOICE,
            deactivation_threshold=NO_VOICE,
        )
        self._stream = self._vad.stream()
        self._min_silence_s = pause_s
        self._level = SignalLevel()
        self.silent_s = 0.0
        """How long the voice has been silent; 0 while it speaks."""

    def push(self, frame: rtc.AudioFrame) -> None:
        self._stream.push_frame(frame)

    def end_input(self) -> None:
        self._stream.end_input()

    async def events(self) -> AsyncIterator[VADEvent]:
        """Yield the model's events, at least one a window, until the input has ended."""
        async for event in self._stream:
            if event.type == VADEventType.START_OF_SPEECH:
                self._level.begin()
            elif event.type == VADEventType.INFERENCE_DONE:
                self._update(event)
            yield event

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _update(self, event: VADEvent) -> None:
        self._level.push(event.frames[0])
        if event.probability > NO_VOICE:
            self.silent_s = 0.0
            self._set_min_silence(self._pause_s)
            return
        # The accumulated silence of the event does not include the event's own window yet.
        model_silent_s = event.raw_accumulated_silence + WINDOW_S
        delay_s = model_delay_s(self._level.quiet_s, model_silent_s)
        self.silent_s = model_silent_s + delay_s
        self._set_min_silence(self._pause_s - delay_s)

    def _set_min_silence(self, silent_s: float) -> None:
        # While somebody speaks, and in a long silence, the value stays the same from window to window.
        if silent_s != self._min_silence_s:
            self._min_silence_s = silent_s
            self._vad.update_options(min_silence_duration=whole_windows_s(silent_s))


def model_delay_s(quiet_s: float, model_silent_s: float) -> float:
    """Return how late the model reported a silence that is `quiet_s` long by level; the usual delay if that is 0."""
    return min(max(quiet_s - model_silent_s, MIN_DELAY_S), MAX_DELAY_S) if quiet_s > 0 else USUAL_DELAY_S


def whole_windows_s(silent_s: float) -> float:
    """Return the model's setting for an end of speech after about `silent_s`: it counts whole windows of silence."""
    windows = max(1, round(silent_s / WINDOW_S))
    return (windows - 0.5) * WINDOW_S
