"""Recognize speech in PCM: energy marks its start and end, a script or a transcriber supplies the words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cluster.lab.emulator.core.engines import Transcriber
from routing.errors import TooLarge

MAX_PHRASES: Final = 10_000
WINDOW_MS: Final = 20
LOUD_RMS: Final = 300
"""-41 dBFS: a quiet voice is louder, room noise is quieter."""
SHORTEST_VOICE_MS: Final = 60
SHORTEST_PAUSE_MS: Final = 100
"""Gaps between the words of one sentence are shorter, so a shorter endpointing is raised to this."""
MS_PER_WORD: Final = 300
INTERIM_EVERY_MS: Final = 500
SEGMENT_MS: Final = 5_000
"""The longest stretch without a final result, spoken or not."""
TRANSCRIBED_PAUSE_MS: Final = 400
"""A transcriber needs a phrase whole, with its commas."""
LEAD_MS: Final = 300
"""How much of the sound before a phrase goes with it: it begins more quietly than it goes on."""
LONGEST_TRANSCRIBED_MS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionOptions:
    """Which events are sent, and how long a silence ends a phrase (None: no silence does)."""

    endpointing_ms: int | None = 10
    utterance_end_ms: int | None = None
    interim: bool = False
    starts: bool = False

    @property
    def pause_ms(self) -> int | None:
        return None if self.endpointing_ms is None else max(self.endpointing_ms, SHORTEST_PAUSE_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedWord:
    """One word and when it was said."""

    text: str = field(repr=False)
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Someone began to speak."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedSpeech:
    """The transcript of a stretch of audio; a stretch that is not final is sent again."""

    words: tuple[RecognizedWord, ...]
    start_ms: int
    end_ms: int
    final: bool
    speech_final: bool = False
    from_finalize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceEnded:
    """Nothing was said for as long as an utterance may pause."""

    last_word_end_ms: int


Event = SpeechStarted | RecognizedSpeech | UtteranceEnded
Window = NDArray[np.float32]


class PhraseScript:
    """The phrases to return, in order; after the last one "simulated transcript 1" and so on.

    With `ends`, audio after the last phrase has an empty transcript.
    """

    def __init__(self, phrases: Iterable[str] = (), ends: bool = False) -> None:
        self._phrases = deque(phrases)
        self.ends = ends
        self._invented = 0

    def add(self, *phrases: str) -> None:
        """Append `phrases`. Raises TooLarge above 10,000 phrases."""
        if len(self._phrases) + len(phrases) > MAX_PHRASES:
            raise TooLarge(f"At most {MAX_PHRASES} phrases can be planned.", "phrases")
        self._phrases.extend(phrases)

    def next(self) -> str:
        if self._phrases:
            return self._phrases.popleft()
        if self.ends:
            return ""
        self._invented += 1
        return f"simulated transcript {self._invented}"

    def __len__(self) -> int:
        return len(self._phrases)


@dataclass(slots=True, kw_only=True)
class _Phrase:
    """The current phrase: the first `final_words` words are final, the others began at `since_ms`."""

    words: list[str]
    started_ms: int
    since_ms: int
    loud_until_ms: int
    final_words: int = 0

    def pending_words(self, whole: bool) -> tuple[RecognizedWord, ...]:
        """Return the words not final yet: all of them at the end of the phrase, else those spoken by now."""
        count = 1 + (self.loud_until_ms - self.started_ms) // MS_PER_WORD
        words = self.words[self.final_words :] if whole else self.words[self.final_words : count]
        return tuple(_spread(words, self.since_ms, max(self.since_ms, self.loud_until_ms)))


class _PhraseBuffer:
    """The audio of a phrase and its lead-in, for a transcriber that needs the whole phrase."""

    def __init__(self, transcriber: Transcriber, sample_rate_hz: int, channels: int) -> None:
        self._transcriber = transcriber
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._windows: deque[Window] = deque()

    def append(self, window: Window, keep: bool) -> None:
        """Take in a window of sound; without a phrase to keep it for, only the last ones are kept."""
        self._windows.append(window)
        while not keep and len(self._windows) > LEAD_MS // WINDOW_MS:
            self._windows.popleft()

    def words(self) -> list[str]:
        """Transcribe the buffered audio and clear the buffer."""
        sound = np.concatenate(self._windows).reshape(-1, self._channels).mean(axis=1)
        self._windows.clear()
        return self._transcriber(sound.astype("<i2").tobytes(), self._rate_hz).split()


class StreamRecognizer:
    """Listens to one stream of 16-bit PCM."""

    def __init__(
        self,
        sample_rate_hz: int,
        options: RecognitionOptions,
        next_phrase: Callable[[], str],
        channels: int = 1,
        transcriber: Transcriber | None = None,
    ) -> None:
        self._options = options
        self._buffer = None if transcriber is None else _PhraseBuffer(transcriber, sample_rate_hz, channels)
        self._pause_ms = options.pause_ms
        if self._buffer is not None and self._pause_ms is not None:
            self._pause_ms = max(self._pause_ms, TRANSCRIBED_PAUSE_MS)
        self._next_phrase = next_phrase
        self._bytes_per_s = 2 * channels * sample_rate_hz
        # A window holds whole samples of every channel.
        self._window_bytes = 2 * channels * max(1, sample_rate_hz * WINDOW_MS // 1_000)
        self._rest = b""
        self._bytes = 0
        self._now_ms = self._segment_ms = self._interim_ms = 0
        self._loud_ms = self._quiet_ms = 0
        self._phrase: _Phrase | None = None
        self._word_end_ms: int | None = None

    @property
    def audio_ms(self) -> int:
        """How much sound came in, to the millisecond."""
        return round(self._bytes * 1_000 / self._bytes_per_s)

    def feed(self, pcm: bytes) -> list[Event]:
        """Process more audio and return its events."""
        self._bytes += len(pcm)
        sound = self._rest + pcm
        whole = len(sound) - len(sound) % self._window_bytes
        self._rest = sound[whole:]
        windows = np.frombuffer(sound[:whole], "<i2").reshape(-1, self._window_bytes // 2).astype(np.float32)
        loud = np.sqrt(np.mean(windows**2, axis=1)) >= LOUD_RMS
        return [
            event
            for window, is_loud in zip(windows, loud, strict=True)
            for event in self._window(window, bool(is_loud))
        ]

    def flush(self, from_finalize: bool = False) -> list[Event]:
        """End the phrase and return its final result; nothing without audio since the last final result."""
        if self._now_ms == self._segment_ms:
            return []
        return [self._final(speech_final=self._phrase is not None, from_finalize=from_finalize)]

    def _window(self, window: Window, loud: bool) -> Iterator[Event]:
        self._now_ms += WINDOW_MS
        self._loud_ms = self._loud_ms + WINDOW_MS if loud else 0
        self._quiet_ms = 0 if loud else self._quiet_ms + WINDOW_MS
        if self._buffer is not None:
            self._buffer.append(window, keep=self._phrase is not None)
        if self._phrase is None:
            yield from self._detect_onset()
        elif loud:
            self._phrase.loud_until_ms = self._now_ms
        yield from self._emit()

    def _detect_onset(self) -> Iterator[Event]:
        if self._loud_ms < SHORTEST_VOICE_MS:
            return
        onset_ms = self._now_ms - self._loud_ms
        words = self._next_phrase().split() if self._buffer is None else []
        self._phrase = _Phrase(words=words, started_ms=onset_ms, since_ms=onset_ms, loud_until_ms=self._now_ms)
        self._interim_ms = onset_ms
        self._word_end_ms = None
        if self._options.starts:
            yield SpeechStarted(at_ms=onset_ms)

    def _emit(self) -> Iterator[Event]:
        options, phrase = self._options, self._phrase
        if phrase is not None and self._pause_ms is not None and self._quiet_ms >= self._pause_ms:
            yield self._final(speech_final=True)
        elif phrase is not None and self._buffer is not None:
            # Nothing can be said of half a phrase.
            if self._now_ms - phrase.started_ms >= LONGEST_TRANSCRIBED_MS:
                yield self._final(speech_final=False)
        elif self._now_ms - self._segment_ms >= SEGMENT_MS:
            yield self._segment()
        elif phrase is not None and options.interim and self._now_ms - self._interim_ms >= INTERIM_EVERY_MS:
            self._interim_ms = self._now_ms
            yield self._result(phrase.pending_words(whole=False), final=False)
        if options.utterance_end_ms is not None and self._quiet_ms >= options.utterance_end_ms:
            yield from self._utterance_end()

    def _utterance_end(self) -> Iterator[Event]:
        if self._phrase is not None:
            yield self._final(speech_final=False)
        if self._word_end_ms is not None:
            yield UtteranceEnded(last_word_end_ms=self._word_end_ms)
            self._word_end_ms = None

    def _segment(self) -> RecognizedSpeech:
        """Return a final result in the middle of a phrase, or of a silence."""
        words = self._phrase.pending_words(whole=False) if self._phrase else ()
        result = self._result(words, final=True)
        self._segment_ms = self._interim_ms = self._now_ms
        if self._phrase:
            self._phrase.final_words += len(words)
            self._phrase.since_ms = self._now_ms
        return result

    def _final(self, speech_final: bool, from_finalize: bool = False) -> RecognizedSpeech:
        """Return the phrase's last result; the next sound begins another phrase."""
        if self._phrase and self._buffer:
            self._phrase.words = self._buffer.words()
        words = self._phrase.pending_words(whole=True) if self._phrase else ()
        result = self._result(words, final=True, speech_final=speech_final, from_finalize=from_finalize)
        if self._phrase:
            self._word_end_ms = self._phrase.loud_until_ms
        self._segment_ms, self._phrase, self._loud_ms = self._now_ms, None, 0
        return result

    def _result(
        self, words: tuple[RecognizedWord, ...], final: bool, speech_final: bool = False, from_finalize: bool = False
    ) -> RecognizedSpeech:
        return RecognizedSpeech(
            words=words,
            start_ms=self._segment_ms,
            end_ms=self._now_ms,
            final=final,
            speech_final=speech_final,
            from_finalize=from_finalize,
        )


def _spread(words: list[str], start_ms: int, end_ms: int) -> Iterator[RecognizedWord]:
    """Yield `words` said evenly between two moments."""
    step_ms = (end_ms - start_ms) / max(1, len(words))
    for index, word in enumerate(words):
        yield RecognizedWord(
            text=word, start_ms=start_ms + round(index * step_ms), end_ms=start_ms + round((index + 1) * step_ms)
        )
