"""Check the end of speech with livekit's own model on sounds with known ends, window by window."""

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
VOICES = [(before, pitch_hz) for before, pitch_hz in zip(range(8_000, 8_512, 64), range(100, 180, 10), strict=True)]


def sound_of(before: int, pitch_hz: int, hiss: float = 0.0, buzz: float = 0.0) -> tuple[np.ndarray, float]:
    """Return somebody speaking after `before` samples, in a room that hisses or buzzes, and when they end."""
    voice = np.frombuffer(speech(900, pitch_hz), "<i2").astype(float)
    sound = np.concatenate([np.zeros(before), voice, np.zeros(2 * RATE_HZ)])
    sound += np.random.default_rng(before).normal(0, hiss, sound.size)
    sound += buzz * np.sin(2 * np.pi * 100 * np.arange(sound.size) / RATE_HZ)
    return sound.clip(-32_768, 32_767).astype("<i2"), (before + voice.size) / RATE_HZ


async def paused_s(sound: np.ndarray, end_s: float, pause_s: float) -> float:
    """Return how long after its end a voice is taken to be silent."""
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
    raise AssertionError("it was never taken to be silent")


@pytest.mark.parametrize("pause_s", [0.3, 0.8])
@pytest.mark.parametrize("hiss", [0.0, 100.0])
async def test_a_pause_is_as_long_as_it_is_set_to_half_a_window(pause_s: float, hiss: float) -> None:
    found_s = [await paused_s(*sound_of(*voice, hiss=hiss), pause_s) for voice in VOICES]
    assert all(abs(one_s - pause_s) <= WINDOW_S / 2 + BLOCK_S for one_s in found_s), found_s


async def test_a_pause_the_model_is_too_slow_for_is_longer_and_not_shorter() -> None:
    found_s = [await paused_s(*sound_of(*voice, hiss=100.0), 0.1) for voice in VOICES]
    assert all(0.1 <= one_s < 0.25 for one_s in found_s), found_s


@pytest.mark.parametrize("buzz", [2_000.0, 6_000.0])
async def test_a_room_too_loud_to_tell_an_end_by_makes_a_pause_longer_and_not_shorter(buzz: float) -> None:
    found_s = [await paused_s(*sound_of(*voice, buzz=buzz), 0.3) for voice in VOICES]
    assert 0.25 < min(found_s) and mean(found_s) < 0.5, found_s
