"""Resample PCM, split it at pauses, and convert it to 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cluster.lab.emulator.engines.library import library
from cluster.lab.emulator.speech.recognizer import LOUD_RMS

WINDOW_MS: Final = 10
MARGIN_WINDOWS: Final = 4
"""A word begins and ends more quietly than it is."""

Samples = NDArray[np.float32]


def samples_of(pcm: bytes, rate_hz: int, wanted_hz: int) -> Samples:
    """Return 16-bit PCM as samples at the rate that is wanted."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32)
    if rate_hz == wanted_hz or not samples.size:
        return samples
    resampled: Any = library("soxr").resample(samples, rate_hz, wanted_hz)
    return np.asarray(resampled, np.float32)


def pcm_of(samples: Samples) -> bytes:
    return np.clip(np.round(samples), -32_768, 32_767).astype("<i2").tobytes()


def stretches(samples: Samples, rate_hz: int, pause_ms: int) -> Iterator[Samples]:
    """Yield each stretch of sound between two pauses of at least `pause_ms`."""
    size = rate_hz * WINDOW_MS // 1_000
    windows = samples[: samples.size // size * size].reshape(-1, size)
    loud = np.flatnonzero(np.sqrt(np.mean(windows**2, axis=1)) >= LOUD_RMS)
    if not loud.size:
        return
    breaks = np.flatnonzero(np.diff(loud) > pause_ms // WINDOW_MS)
    starts, ends = loud[[0, *(breaks + 1)]], loud[[*breaks, loud.size - 1]]
    for start, end in zip(starts, ends, strict=True):
        yield samples[max(0, start - MARGIN_WINDOWS) * size : (end + 1 + MARGIN_WINDOWS) * size]
