"""Defines utterances and their listener, and reports the partial and final transcripts of one microphone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from room_agent.text.normalize import says_the_same


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """The speech of one person from its first word to the pause after the last."""

    identity: str
    track: str
    text: str = field(repr=False)
    spoken_s: float
    ended_at_s: float
    """When the voice fell silent, by the clock passed to the microphones."""
    language: str = ""
    """The code of its language, where STT detects that."""


class TranscriptListener(Protocol):
    """The receiver of transcripts. Its methods must not block: they run between two audio windows."""

    def on_speech(self, identity: str, speech_s: float) -> None:
        """Receive the time for which a person has been speaking."""

    def on_stable_partial(self, identity: str, text: str) -> None:
        """Receive a partial transcript that may be the whole utterance. Called at most three times an utterance."""

    def on_partial(self, identity: str, track: str, text: str) -> None:
        """Receive each new partial transcript, and an empty one where the utterance comes to nothing."""

    def on_final(self, utterance: Utterance) -> None:
        """Receive a complete utterance."""

    def on_stt_available(self, available: bool) -> None:
        """Receive whether speech is transcribed: False when every service failed for an utterance."""

    def is_stt_paused(self) -> bool:
        """Return whether no audio may be sent, because it could not be paid for."""


@dataclass(slots=True)
class SttCounters:
    """The counters of one room, carried in heartbeats as `hearing_<field>`."""

    microphones: int = 0
    microphones_refused: int = 0
    utterances: int = 0
    utterances_lost: int = 0
    utterances_wordless: int = 0
    """Voices without a word in any service's transcript."""
    sounds_cut: int = 0
    pauses_judged: int = 0
    """Pauses for which the model of RAYROOM_END_OF_TURN=model was run."""
    pauses_extended: int = 0
    """Pauses that it made longer, because the speaker seemed to go on."""
    pauses_unjudged: int = 0
    """Pauses for which it was late or failed."""
    audio_dropped_ms: int = 0
    audio_quiet_ms: int = 0
    """Audio whose level was too low for a voice, so that the detector's model did not judge it."""


STABLE_S = 0.15
"""An interim text unchanged for this long is looked up, for cases where the final one is late."""
MAX_REPORTS = 3
"""The limit for one utterance: every search costs money."""


class StablePartial:
    """Decides which partial transcripts of one utterance are worth a search. `reset` begins the next utterance."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._text = self._reported = ""
        self._since_s = 0.0
        self._reports = 0

    def should_report(self, text: str, final: bool, now_s: float) -> bool:
        """Return whether to search for `text` now: it is stable or final, and its wording is a new query."""
        if text != self._text:
            self._text, self._since_s = text, now_s
        stable = final or now_s - self._since_s >= STABLE_S
        if not text or not stable or self._reports >= MAX_REPORTS or says_the_same(self._reported, text):
            return False
        self._reported = text
        self._reports += 1
        return True


MIN_VOICE_S = 0.3
"""A cough is shorter. A longer voice without a word is counted as wordless."""


class TranscriptReporter:
    """The reports of one microphone. Each utterance with a partial report gets an end: a final text or an empty one."""

    def __init__(
        self,
        identity: str,
        track: str,
        listener: TranscriptListener,
        counters: SttCounters,
        clock: Callable[[], float],
    ) -> None:
        self._identity = identity
        self._track = track
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._stable = StablePartial()
        self._last_partial = ""
        self._voice_s = 0.0

    def speech(self, speech_s: float, silent_s: float) -> None:
        """Report the time since the speech began; the last `silent_s` of it may be silence."""
        self._voice_s = max(self._voice_s, speech_s - silent_s)
        self._listener.on_speech(self._identity, speech_s)

    def partial(self, text: str) -> None:
        """Report a partial transcript if it is new."""
        if text not in ("", self._last_partial):
            self._last_partial = text
            self._listener.on_partial(self._identity, self._track, text)

    def stable_partial(self, text: str, final: bool) -> None:
        """Report a partial transcript that may be all, if it is worth a search."""
        if self._stable.should_report(text, final, self._clock()):
            self._listener.on_stable_partial(self._identity, text)

    def final(self, text: str, spoken_s: float, ended_at_s: float, language: str = "") -> None:
        """Report a complete utterance."""
        self._reset()
        self._counters.utterances += 1
        self._listener.on_final(
            Utterance(
                identity=self._identity,
                track=self._track,
                text=text,
                spoken_s=spoken_s,
                ended_at_s=ended_at_s,
                language=language,
            )
        )

    def wordless(self) -> None:
        """End an utterance with an empty transcript."""
        self._counters.utterances_wordless += self._voice_s >= MIN_VOICE_S
        self._withdraw()

    def lost(self) -> None:
        """End an utterance that no service transcribed."""
        self._counters.utterances_lost += 1
        self._withdraw()

    def _withdraw(self) -> None:
        if self._last_partial:
            self._listener.on_partial(self._identity, self._track, "")
        self._reset()

    def _reset(self) -> None:
        self._stable.reset()
        self._last_partial, self._voice_s = "", 0.0
