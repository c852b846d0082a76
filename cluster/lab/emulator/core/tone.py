"""Synthesize a tone of the duration that a voice needs for a text."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

CHARACTERS_PER_S: Final = 15
"""150 English words a minute, six characters each with its space."""
AMPLITUDE: Final = 6_000
LOWEST_HZ: Final = 110
HIGHEST_HZ: Final = 290


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneSpeech:
    """A piece of a text as sound, beginning `start_ms` into the whole."""

    text: str
    pcm: bytes
    start_ms: int
    ms_per_character: float = 1_000 / CHARACTERS_PER_S

    def alignment(self) -> dict[str, Any]:
        """Return when each character is said."""
        starts = [self.start_ms + round(index * self.ms_per_character) for index in range(len(self.text) + 1)]
        return {
            "chars": list(self.text),
            "charStartTimesMs": starts[:-1],
            "charDurationsMs": [after - before for before, after in itertools.pairwise(starts)],
        }


class SpeechSource(Protocol):
    """A source of synthesized speech for one text."""

    def pieces(self, text: str, characters: int) -> Iterator[ToneSpeech]:
        """Yield the sound of more of the text, so many characters of it at a time."""


class ToneVoice:
    """Says one text, piece by piece: the tone runs on from piece to piece without a click."""

    def __init__(self, voice_id: str, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._hz = pitch_hz(voice_id)
        self._characters = 0

    def pieces(self, text: str, characters: int) -> Iterator[ToneSpeech]:
        """Yield the tone of more of the text, so many characters of it at a time."""
        for start in range(0, len(text), characters):
            yield self.synthesize(text[start : start + characters])

    def synthesize(self, text: str) -> ToneSpeech:
        first, self._characters = self._sample(self._characters), self._characters + len(text)
        at = np.arange(first, self._sample(self._characters))
        wave = AMPLITUDE * np.sin(2 * np.pi * self._hz * at / self._rate_hz)
        return ToneSpeech(text=text, pcm=wave.astype("<i2").tobytes(), start_ms=round(first * 1_000 / self._rate_hz))

    def _sample(self, character: int) -> int:
        return character * self._rate_hz // CHARACTERS_PER_S


def pitch_hz(voice_id: str) -> int:
    """Return a voice's pitch: the same for the same voice, and within a human voice's range."""
    digest = hashlib.blake2b(voice_id.encode(), digest_size=4).digest()
    return LOWEST_HZ + int.from_bytes(digest) % (HIGHEST_HZ - LOWEST_HZ + 1)
