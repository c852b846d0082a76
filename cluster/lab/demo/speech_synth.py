"""Synthesise speech that a voice detector accepts: vowels without words."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
_VOWELS_HZ = ((730, 1_090, 2_440), (270, 2_290, 3_010), (300, 870, 2_240), (530, 1_840, 2_480), (640, 1_190, 2_390))
_BANDS_HZ = (80, 100, 140)
_VOWEL_MS = 160


@cache
def speech(duration_ms: int, pitch_hz: int = 120) -> bytes:
    """Return `duration_ms` of speech as 16-bit PCM."""
    at = np.arange(RATE_HZ * duration_ms // 1_000) / RATE_HZ
    phase = np.cumsum(pitch_hz * (1 + 0.08 * np.sin(2 * np.pi * 2.5 * at)) / RATE_HZ)
    source = (np.diff(np.floor(phase), prepend=0) > 0) + 0.01 * np.random.default_rng(7).standard_normal(at.size)
    size = RATE_HZ * _VOWEL_MS // 1_000
    sounds = [
        _vowel(source[start : start + size], _VOWELS_HZ[number % len(_VOWELS_HZ)])
        for number, start in enumerate(range(0, at.size, size))
    ]
    return bytes((9_000 * np.concatenate(sounds)).astype("<i2").tobytes())


def silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1_000)


def _vowel(sound: NDArray[np.float64], formants_hz: tuple[int, ...]) -> NDArray[np.float64]:
    for formant_hz, band_hz in zip(formants_hz, _BANDS_HZ, strict=True):
        sound = _resonated(sound, formant_hz, np.exp(-np.pi * band_hz / RATE_HZ))
    # A softer start and end of each vowel, but never a pause.
    envelope = np.minimum(np.arange(sound.size) / 300, (sound.size - np.arange(sound.size)) / 900)
    shaped: NDArray[np.float64] = sound / np.abs(sound).max() * np.clip(envelope, 0.3, 1.0)
    return shaped


def _resonated(sound: NDArray[np.float64], hz: int, pole: float) -> NDArray[np.float64]:
    first, second = 2 * pole * np.cos(2 * np.pi * hz / RATE_HZ), -pole * pole
    out, before, last = np.empty_like(sound), 0.0, 0.0
    for number, sample in enumerate(sound):
        before, last = last, sample * (1 - pole) + first * last + second * before
        out[number] = last
    return out
