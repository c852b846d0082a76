"""A quiet microphone's audio does not reach the detector's model; a voice does, with the audio before it."""

from __future__ import annotations

import numpy as np
import pytest
from livekit import rtc

from room_agent.audio.level_gate import BEFORE_S, FLOOR_S, HOLD_S, LevelGate
from room_agent.audio.pcm import RATE_HZ, WINDOW_S

WINDOW = round(WINDOW_S * RATE_HZ)
ROOM_NOISE, VOICE = 40.0, 400.0
"""The levels of an open microphone in a quiet room and of a soft voice, in 16-bit steps."""


def windows(level: float, duration_s: float, seed: int = 1) -> list[rtc.AudioFrame]:
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, level, (round(duration_s / WINDOW_S), WINDOW)).clip(-32_768, 32_767).astype(np.int16)
    return [rtc.AudioFrame(window.tobytes(), RATE_HZ, 1, WINDOW) for window in sound]


def passed(gate: LevelGate, frames: list[rtc.AudioFrame], is_speaking: bool = False) -> list[rtc.AudioFrame]:
    return [one for frame in frames for one in gate.passed(frame, is_speaking)]


def gate_in_a_quiet_room() -> LevelGate:
    gate = LevelGate()
    passed(gate, windows(ROOM_NOISE, FLOOR_S + 2 * HOLD_S))
    return gate


@pytest.mark.parametrize("level", [0.0, ROOM_NOISE, 150.0])
def test_steady_noise_is_held_back_once_its_level_is_known(level: float) -> None:
    gate = LevelGate()
    before = passed(gate, windows(level, FLOOR_S + 2 * HOLD_S))
    assert len(before) * WINDOW_S == pytest.approx(FLOOR_S + HOLD_S, abs=2 * WINDOW_S)
    assert passed(gate, windows(level, 60.0, seed=2)) == []


def test_a_voice_passes_at_once_with_the_audio_before_it() -> None:
    gate, before, voice = gate_in_a_quiet_room(), windows(ROOM_NOISE, 1.0), windows(VOICE, 1.0)
    assert passed(gate, before) == []
    held = round(BEFORE_S / WINDOW_S) - 1
    assert passed(gate, voice) == [*before[-held:], *voice]


def test_nothing_is_lost_or_repeated_across_the_pause_between_two_words() -> None:
    gate = gate_in_a_quiet_room()
    speech = [*windows(VOICE, 0.5), *windows(ROOM_NOISE, 0.8 * HOLD_S), *windows(VOICE, 0.5)]
    assert passed(gate, speech)[-len(speech) :] == speech


def test_everything_passes_while_an_utterance_is_open_however_quiet() -> None:
    quiet = windows(ROOM_NOISE, 5 * HOLD_S)
    assert passed(gate_in_a_quiet_room(), quiet, is_speaking=True)[-len(quiet) :] == quiet


def test_a_room_too_loud_to_tell_a_voice_by_its_level_always_passes() -> None:
    loud = windows(500.0, 30.0)
    assert passed(LevelGate(), loud) == loud
