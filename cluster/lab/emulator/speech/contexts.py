"""Holds the texts an ElevenLabs socket is sent, and says which piece is due to be spoken. Knows no socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cluster.lab.emulator.core.tone import SpeechSource, ToneSpeech
from routing.errors import BadInput

CHUNK_SCHEDULE: Final = (120, 160, 250, 290)
"""How many characters are waited for before each piece: the default, as elevenlabs 2.78 documents it."""
CHARACTERS_PER_CHUNK: Final = 20
RATES_HZ: Final = {f"pcm_{rate_hz}": rate_hz for rate_hz in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)}
DEFAULT_FORMAT: Final = "mp3_44100_128"


def rate_hz(query: Mapping[str, str]) -> int:
    """Return the sample rate a query's output format names. Raises BadInput."""
    asked = query.get("output_format", DEFAULT_FORMAT)
    if asked not in RATES_HZ:
        raise BadInput(f"The emulator speaks PCM only: one of {', '.join(RATES_HZ)}.", "output_format")
    return RATES_HZ[asked]


def chunks(voice: SpeechSource, text: str) -> Iterator[ToneSpeech]:
    """Yield a text's sound in the pieces it is sent in."""
    return voice.pieces(text, CHARACTERS_PER_CHUNK)


@dataclass(slots=True, kw_only=True)
class SpeechContext:
    """One text on its way: what is held back and what has been spoken."""

    voice: SpeechSource
    at_once: bool
    schedule: tuple[int, ...] = CHUNK_SCHEDULE
    held: str = field(default="", repr=False)
    spoken: str = field(default="", repr=False)
    pieces: int = 0

    @property
    def characters(self) -> int:
        """How many characters are billed: those spoken, without the space around them."""
        return len(self.spoken.strip())

    def take(self, text: str, flush: bool) -> str:
        """Take in more text; return the piece that is due to be spoken because of it, or nothing."""
        self.held += text
        if not self.spoken:
            self.held = self.held.lstrip()
        due = flush or self.at_once or len(self.held) >= self.schedule[min(self.pieces, len(self.schedule) - 1)]
        if not due or not self.held.strip():
            return ""
        piece, self.held = self.held, ""
        self.spoken += piece
        self.pieces += 1
        return piece


class CharacterQuota:
    """How many characters a key has left."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def spend(self, characters: int) -> bool:
        """Count what is about to be spoken; returns False, and counts nothing, where that is too much."""
        if self.used + characters > self.limit:
            return False
        self.used += characters
        return True

    def refusal(self) -> str:
        return f"This request exceeds your quota of {self.limit}. You have {self.limit - self.used} credits remaining."
