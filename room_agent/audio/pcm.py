"""Sound as the detector takes it, window by window. Knows no microphone."""

from __future__ import annotations

from livekit import rtc

RATE_HZ = 16_000
WINDOW_S = 0.032
"""The detector judges so much sound at a time."""
SILENCE = rtc.AudioFrame(bytes(2 * RATE_HZ // 20), RATE_HZ, 1, RATE_HZ // 20)
"""What a microphone that sends nothing sounds like."""


def newest(frame: rtc.AudioFrame, samples: int) -> rtc.AudioFrame:
    """Return a frame's last `samples`: the others have been heard."""
    if samples >= frame.samples_per_channel:
        return frame
    kept = max(0, samples)
    data = bytes(frame.data)[2 * (frame.samples_per_channel - kept) :]
    return rtc.AudioFrame(data, frame.sample_rate, 1, kept)
