"""Says how long a sound has been quiet, by how loud it is. Knows no voice."""

from __future__ import annotations

import numpy as np
from livekit import rtc

from room_agent.audio.pcm import RATE_HZ

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
