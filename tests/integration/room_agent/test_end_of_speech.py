"""Check the detected end of speech with LiveKit's own model, on audio with a known end of speech."""

from __future__ import annotations

from statistics import mean

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.vad import VADEventType

from cluster.lab.demo.speech_synth import RATE_HZ, speech
from room_agent.audio.pcm import WINDOW_S
from room_agent.audio.vad import BLOCK_S, SpeechDetector

WINDOW = round(WINDOW_S * RATE_HZ)
VOICES = [
    (silent_samples, pitch_hz)
    for silent_samples, pitch_hz in zip(range(8_000, 8_512, 64), range(100, 180, 10), strict=True)
]


def speech_in_noise(
    silent_samples: int, pitch_hz: int, hiss: float = 0.0, buzz: float = 0.0
) -> tuple[np.ndarray, float]:
    """Return speech after a silence, with noise and hum added, and the time of its end."""
    voice = np.frombuffer(speech(900, pitch_hz), "<i2").astype(float)
    sound = np.concatenate([np.zeros(silent_samples), voice, np.zeros(2 * RATE_HZ)])
    sound += np.random.default_rng(silent_samples).normal(0, hiss, sound.size)
    sound += buzz * np.sin(2 * np.pi * 100 * np.arange(sound.size) / RATE_HZ)
    return sound.clip(-32_768, 32_767).astype("<i2"), (silent_samples + voice.size) / RATE_HZ


async def detection_delay_s(sound: np.ndarray, end_s: float, pause_s: float) -> float:
    """Return the seconds from the end of speech until the detector reports it."""
    detector = SpeechDetector(pause_s)
    events = detector.events()
    try:
        for start in range(0, sound.size - WINDOW, WINDOW):
            detector.push(rtc.AudioFrame(sound[start : start + WINDOW].tobytes(), RATE_HZ, 1, WINDOW))
            while (event := await anext(events)).type != VADEventType.INFERENCE_DONE:
                if event.type == VADEventType.END_OF_SPEECH:
                    return event.samples_index / RATE_HZ - end_s
    finally:
        await detector.aclose()
    raise AssertionError("no end of speech was detected")


@pytest.mark.parametrize("pause_s", [0.3, 0.8])
@pytest.mark.parametrize("hiss", [0.0, 100.0])
async def test_the_end_of_speech_is_detected_within_half_a_window_of_the_pause(pause_s: float, hiss: float) -> None:
    delays_s = [await detection_delay_s(*speech_in_noise(*voice, hiss=hiss), pause_s) for voice in VOICES]
    assert all(abs(delay_s - pause_s) <= WINDOW_S / 2 + BLOCK_S for delay_s in delays_s), delays_s


async def test_a_pause_too_short_for_the_model_is_detected_late_and_never_early() -> None:
    delays_s = [await detection_delay_s(*speech_in_noise(*voice, hiss=100.0), 0.1) for voice in VOICES]
    assert all(0.1 <= delay_s < 0.25 for delay_s in delays_s), delays_s


@pytest.mark.parametrize("buzz", [2_000.0, 6_000.0])
async def test_a_loud_room_delays_the_end_of_speech_and_never_advances_it(buzz: float) -> None:
    delays_s = [await detection_delay_s(*speech_in_noise(*voice, buzz=buzz), 0.3) for voice in VOICES]
    assert 0.25 < min(delays_s) and mean(delays_s) < 0.5, delays_s
