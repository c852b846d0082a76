"""Holds back the audio of a quiet microphone, so that the detector's model runs only where somebody may speak."""

from __future__ import annotations

from collections import deque

import numpy as np
from livekit import rtc

from room_agent.audio.pcm import WINDOW_S
from room_agent.audio.vad import BLOCK

BEFORE_S = 0.5
"""The audio before the first loud block that is passed on with it: the detector hands as much to STT."""
HOLD_S = 1.0
"""How long audio is passed on after the last loud block: longer than the pause between two words."""
FLOOR_S = 4.0
"""The noise floor is the quietest block of this time: a speaker takes a breath within it."""
ABOVE_FLOOR = 2.0
"""Relative to the noise floor (6 dB). Blocks of steady noise differ by less."""
INAUDIBLE = 12.0
"""In 16-bit steps (-69 dBFS): no speech is as quiet as this."""
LOUD = 328.0
"""In 16-bit steps (-40 dBFS): this may be speech whatever the noise floor is."""


class LevelGate:
    """The gate of one microphone. It takes frames of one window, and knows the noise floor after `FLOOR_S`."""

    def __init__(self) -> None:
        self._held: deque[rtc.AudioFrame] = deque(maxlen=round(BEFORE_S / WINDOW_S))
        self._quietest: deque[float] = deque(maxlen=round(FLOOR_S / WINDOW_S))
        self._quiet_windows = 0

    def passed(self, frame: rtc.AudioFrame, is_speaking: bool) -> list[rtc.AudioFrame]:
        """Return the frames for the detector: none while it is quiet; with the first loud one those before it."""
        self._quiet_windows = 0 if is_speaking or self._is_loud(frame) else self._quiet_windows + 1
        self._held.append(frame)
        if self._quiet_windows * WINDOW_S > HOLD_S:
            return []
        passed = list(self._held)
        self._held.clear()
        return passed

    def _is_loud(self, frame: rtc.AudioFrame) -> bool:
        blocks = np.frombuffer(frame.data, np.int16)[: frame.samples_per_channel // BLOCK * BLOCK]
        levels = np.sqrt(np.mean(blocks.reshape(-1, BLOCK).astype(np.float32) ** 2, axis=1))
        self._quietest.append(float(levels.min()))
        if len(self._quietest) < (self._quietest.maxlen or 0):
            return True
        loud = min(LOUD, ABOVE_FLOOR * min(self._quietest))
        return float(levels.max()) >= max(INAUDIBLE, loud)
