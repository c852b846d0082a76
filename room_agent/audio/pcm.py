"""Defines the PCM format and window length that the voice activity detector takes, and slices frames of it."""

from __future__ import annotations

from livekit import rtc

RATE_HZ = 16_000
WINDOW_S = 0.032
"""The VAD model judges one window of this length at a time."""
SILENCE = rtc.AudioFrame(bytes(2 * RATE_HZ // 20), RATE_HZ, 1, RATE_HZ // 20)
"""50 ms of silence, fed in place of a microphone that sends nothing."""


def newest(frame: rtc.AudioFrame, samples: int) -> rtc.AudioFrame:
    """Return the last `samples` of a frame; the earlier ones were sent before."""
    if samples >= frame.samples_per_channel:
        return frame
    kept = max(0, samples)
    data = bytes(frame.data)[2 * (frame.samples_per_channel - kept) :]
    return rtc.AudioFrame(data, frame.sample_rate, 1, kept)
