"""Tells of one microphone's utterances, from what is being said to what was said, and counts them. Hears nothing."""

from __future__ import annotations

from collections.abc import Callable

from room_agent.audio.foretelling import StablePartial
from room_agent.audio.utterance import HearingCounters, TranscriptListener, Utterance

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
