"""Tells of one microphone's utterances, from what is being said to what was said, and counts them. Hears nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from room_agent.text.normalize import says_the_same


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


STILL_S = 0.15
"""A text that is not final has stood for so long when it is looked up: where the final one is late, not before each."""
MOST_TOLD = 3
"""Of one utterance: every search is paid for."""


class StablePartial:
    """One utterance's texts as they come; `forget` begins the next."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._text = self._told = ""
        self._since_s = 0.0
        self._times = 0

    def worth_telling(self, text: str, final: bool, now_s: float) -> bool:
        """Tell whether to look `text` up now: it stands still or is final, and asks for something new."""
        if text != self._text:
            self._text, self._since_s = text, now_s
        still = final or now_s - self._since_s >= STILL_S
        if not text or not still or self._times >= MOST_TOLD or says_the_same(self._told, text):
            return False
        self._told = text
        self._times += 1
        return True


LEAST_VOICE_S = 0.3
"""A cough is shorter; a voice that is longer and has no word in it is counted."""


class TranscriptReporter:
    """One microphone's. Whatever was shown of an utterance has an end: what was said, or that it came to nothing."""

    def __init__(
        self,
        identity: str,
        track: str,
        listener: TranscriptListener,
        counters: HearingCounters,
        clock: Callable[[], float],
    ) -> None:
        self._identity = identity
        self._track = track
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._foretelling = StablePartial()
        self._shown = ""
        self._voice_s = 0.0

    def voiced(self, speech_s: float, silent_s: float) -> None:
        """Tell how long somebody has been speaking; for the last of it they may have been silent."""
        self._voice_s = max(self._voice_s, speech_s - silent_s)
        self._listener.voiced(self._identity, speech_s)

    def show(self, text: str) -> None:
        """Tell what was said so far."""
        if text not in ("", self._shown):
            self._shown = text
            self._listener.hearing(self._identity, self._track, text)

    def foretell(self, text: str, final: bool) -> None:
        """Tell what may be all, where it is worth a search."""
        if self._foretelling.worth_telling(text, final, self._clock()):
            self._listener.foretold(self._identity, text)

    def told(self, text: str, spoken_s: float, ended_at_s: float) -> None:
        """Tell what was said."""
        self._begin_anew()
        self._counters.utterances += 1
        self._listener.heard(
            Utterance(identity=self._identity, track=self._track, text=text, spoken_s=spoken_s, ended_at_s=ended_at_s)
        )

    def wordless(self) -> None:
        """Take in that there was a sound and no word in it."""
        self._counters.utterances_wordless += self._voice_s >= LEAST_VOICE_S
        self._nothing()

    def lost(self) -> None:
        """Take in that nobody heard what was said."""
        self._counters.utterances_lost += 1
        self._nothing()

    def _nothing(self) -> None:
        if self._shown:
            self._listener.hearing(self._identity, self._track, "")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._foretelling.forget()
        self._shown, self._voice_s = "", 0.0
