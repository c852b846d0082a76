"""What is said into a microphone, and who is told of it. Hears nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one person said, from the first word to the pause after the last."""

    identity: str
    track: str
    text: str = field(repr=False)
    spoken_s: float
    ended_at_s: float
    """When the voice fell silent, by the clock the microphones are given."""


class TranscriptListener(Protocol):
    """Who is told what the microphones hear. Nothing here may wait: the sound goes on."""

    def voiced(self, identity: str, speech_s: float) -> None:
        """Say that someone has been speaking for so long."""

    def foretold(self, identity: str, text: str) -> None:
        """Say what someone has said so far and may leave at that; a few times for an utterance, not for each word."""

    def hearing(self, identity: str, track: str, text: str) -> None:
        """Say what someone has said so far, in another wording than before; nothing, where it came to nothing."""

    def heard(self, utterance: Utterance) -> None: ...

    def hears(self, well: bool) -> None:
        """Say whether speech is understood, or no service can be reached."""

    def deaf(self) -> bool:
        """Return whether nothing is to be heard, since nothing could be paid."""


@dataclass(slots=True)
class HearingCounters:
    """Counts of one room."""

    microphones: int = 0
    microphones_refused: int = 0
    utterances: int = 0
    utterances_lost: int = 0
    utterances_wordless: int = 0
    """Voices in which no service heard a word."""
    sounds_cut: int = 0
    audio_dropped_ms: int = 0
