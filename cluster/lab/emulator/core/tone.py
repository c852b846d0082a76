"""Synthesize a tone as long as a voice needs for a text."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

CHARACTERS_PER_S: Final = 15
"""150 English words a minute, with six characters each including the space."""
AMPLITUDE: Final = 6_000
MIN_HZ: Final = 110
MAX_HZ: Final = 290


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneSpeech:
    """The audio of one piece of a text; it begins `start_ms` into the whole audio."""

    text: str
    pcm: bytes
    start_ms: int
    ms_per_character: float = 1_000 / CHARACTERS_PER_S

    def alignment(self) -> dict[str, Any]:
        """Return the start and duration of each character."""
        starts = [self.start_ms + round(index * self.ms_per_character) for index in range(len(self.text) + 1)]
        return {
            "chars": list(self.text),
            "charStartTimesMs": starts[:-1],
            "charDurationsMs": [end - start for start, end in itertools.pairwise(starts)],
        }


class SpeechSource(Protocol):
    """A source of synthesized speech for one text."""

    def pieces(self, text: str, characters: int) -> Iterator[ToneSpeech]:
        """Yield the audio of the next part of the text in pieces of `characters` characters."""


class ToneVoice:
    """Synthesizes one text piece by piece; the tone is continuous across pieces."""

    def __init__(self, voice_id: str, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._hz = pitch_hz(voice_id)
        self._characters = 0

    def pieces(self, text: str, characters: int) -> Iterator[ToneSpeech]:
        """Yield the tone of the next part of the text in pieces of `characters` characters."""
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
    """Return a voice's constant pitch in Hz, within the range of human voices."""
    digest = hashlib.blake2b(voice_id.encode(), digest_size=4).digest()
    return MIN_HZ + int.from_bytes(digest) % (MAX_HZ - MIN_HZ + 1)
