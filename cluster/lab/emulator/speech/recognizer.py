"""Recognize speech in PCM: its energy marks the start and end, a script or a transcriber supplies the words."""

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
"""-41 dBFS, which is below a quiet voice and above room noise."""
MIN_VOICE_MS: Final = 60
MIN_PAUSE_MS: Final = 100
"""The minimum pause that ends a phrase: gaps between the words of one sentence are shorter."""
MS_PER_WORD: Final = 300
INTERIM_EVERY_MS: Final = 500
SEGMENT_MS: Final = 5_000
"""The maximum time without a final result, with or without speech."""
TRANSCRIBED_PAUSE_MS: Final = 400
"""The minimum pause with a transcriber, which needs the whole phrase despite pauses at commas."""
LEAD_MS: Final = 300
"""The audio before a detected phrase that is transcribed with it, because a phrase starts quietly."""
MAX_TRANSCRIBED_MS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionOptions:
    """Which events are sent, and the silence that ends a phrase (None: no silence ends it)."""

    endpointing_ms: int | None = 10
    utterance_end_ms: int | None = None
    interim: bool = False
    starts: bool = False

    @property
    def pause_ms(self) -> int | None:
        return None if self.endpointing_ms is None else max(self.endpointing_ms, MIN_PAUSE_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedWord:
    """One word and its time."""

    text: str = field(repr=False)
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Speech began."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedSpeech:
    """The transcript of an interval of audio; an interim transcript is sent again until it is final."""

    words: tuple[RecognizedWord, ...]
    start_ms: int
    end_ms: int
    final: bool
    speech_final: bool = False
    from_finalize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceEnded:
    """No speech for `utterance_end_ms`."""

    last_word_end_ms: int


Event = SpeechStarted | RecognizedSpeech | UtteranceEnded
Window = NDArray[np.float32]


class PhraseScript:
    """The phrases to return in order; "simulated transcript 1" and so on after the last one.

    With `ends`, audio after the last phrase has an empty transcript.
    """

    def __init__(self, phrases: Iterable[str] = (), ends: bool = False) -> None:
        self._phrases = deque(phrases)
        self.ends = ends
        self._simulated_count = 0

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
        self._simulated_count += 1
        return f"simulated transcript {self._simulated_count}"

    def __len__(self) -> int:
        return len(self._phrases)


@dataclass(slots=True, kw_only=True)
class _Phrase:
    """The current phrase: its first `final_words` words are final, the others began at `pending_since_ms`."""

    words: list[str]
    started_ms: int
    pending_since_ms: int
    voice_until_ms: int
    final_words: int = 0

    def pending_words(self, whole: bool) -> tuple[RecognizedWord, ...]:
        """Return the words that are not final: all if `whole`, else those spoken so far."""
        count = 1 + (self.voice_until_ms - self.started_ms) // MS_PER_WORD
        words = self.words[self.final_words :] if whole else self.words[self.final_words : count]
        return tuple(_spread(words, self.pending_since_ms, max(self.pending_since_ms, self.voice_until_ms)))


class _PhraseBuffer:
    """The audio of a phrase and of the time before it, for a transcriber that needs the whole phrase."""

    def __init__(self, transcriber: Transcriber, sample_rate_hz: int, channels: int) -> None:
        self._transcriber = transcriber
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._windows: deque[Window] = deque()

    def append(self, window: Window, keep: bool) -> None:
        """Append a window of audio; without `keep`, only the last `LEAD_MS` are kept."""
        self._windows.append(window)
        while not keep and len(self._windows) > LEAD_MS // WINDOW_MS:
            self._windows.popleft()

    def words(self) -> list[str]:
        """Transcribe the buffered audio and clear the buffer."""
        sound = np.concatenate(self._windows).reshape(-1, self._channels).mean(axis=1)
        self._windows.clear()
        return self._transcriber(sound.astype("<i2").tobytes(), self._rate_hz).split()


class StreamRecognizer:
    """Recognizes the speech in one stream of 16-bit PCM."""

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
        self._remainder = b""
        self._bytes = 0
        self._now_ms = self._segment_ms = self._interim_ms = 0
        self._loud_ms = self._quiet_ms = 0
        self._phrase: _Phrase | None = None
        self._word_end_ms: int | None = None

    @property
    def audio_ms(self) -> int:
        """The duration of the received audio in milliseconds."""
        return round(self._bytes * 1_000 / self._bytes_per_s)

    def feed(self, pcm: bytes) -> list[Event]:
        """Process more audio and return its events."""
        self._bytes += len(pcm)
        sound = self._remainder + pcm
        complete_bytes = len(sound) - len(sound) % self._window_bytes
        self._remainder = sound[complete_bytes:]
        windows = np.frombuffer(sound[:complete_bytes], "<i2").reshape(-1, self._window_bytes // 2).astype(np.float32)
        loud = np.sqrt(np.mean(windows**2, axis=1)) >= LOUD_RMS
        return [
            event
            for window, is_loud in zip(windows, loud, strict=True)
            for event in self._window(window, bool(is_loud))
        ]

    def flush(self, from_finalize: bool = False) -> list[Event]:
        """End the phrase and return its final result; an empty list without audio since the last final result."""
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
            self._phrase.voice_until_ms = self._now_ms
        yield from self._emit()

    def _detect_onset(self) -> Iterator[Event]:
        if self._loud_ms < MIN_VOICE_MS:
            return
        onset_ms = self._now_ms - self._loud_ms
        words = self._next_phrase().split() if self._buffer is None else []
        self._phrase = _Phrase(words=words, started_ms=onset_ms, pending_since_ms=onset_ms, voice_until_ms=self._now_ms)
        self._interim_ms = onset_ms
        self._word_end_ms = None
        if self._options.starts:
            yield SpeechStarted(at_ms=onset_ms)

    def _emit(self) -> Iterator[Event]:
        options, phrase = self._options, self._phrase
        if phrase is not None and self._pause_ms is not None and self._quiet_ms >= self._pause_ms:
            yield self._final(speech_final=True)
        elif phrase is not None and self._buffer is not None:
            # A transcriber has no result for an unfinished phrase.
            if self._now_ms - phrase.started_ms >= MAX_TRANSCRIBED_MS:
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
        """Return a final result in the middle of a phrase or a silence."""
        words = self._phrase.pending_words(whole=False) if self._phrase else ()
        result = self._result(words, final=True)
        self._segment_ms = self._interim_ms = self._now_ms
        if self._phrase:
            self._phrase.final_words += len(words)
            self._phrase.pending_since_ms = self._now_ms
        return result

    def _final(self, speech_final: bool, from_finalize: bool = False) -> RecognizedSpeech:
        """Return the phrase's last result and end the phrase."""
        if self._phrase and self._buffer:
            self._phrase.words = self._buffer.words()
        words = self._phrase.pending_words(whole=True) if self._phrase else ()
        result = self._result(words, final=True, speech_final=speech_final, from_finalize=from_finalize)
        if self._phrase:
            self._word_end_ms = self._phrase.voice_until_ms
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
    """Yield `words` with times spread evenly between `start_ms` and `end_ms`."""
    step_ms = (end_ms - start_ms) / max(1, len(words))
    for index, word in enumerate(words):
        yield RecognizedWord(
            text=word, start_ms=start_ms + round(index * step_ms), end_ms=start_ms + round((index + 1) * step_ms)
        )
