"""Speaks English and German text by espeak-ng, each with its own sounds, as a voice of several languages does.

Numbers of several digits are read out digit by digit, as one reads out a code.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from cluster.lab.emulator.engines.asr import DIGITS
from cluster.lab.emulator.engines.library import library
from cluster.lab.emulator.engines.pcm import pcm_of, samples_of, stretches
from cluster.lab.emulator.speech.languages import language_of
from routing.errors import ConfigurationError, RayroomError

VOICE: Final = "en-us+m5"
"""The voice whose digits are understood best by far; see tests/contract/test_engines.py."""
WORDS_PER_MINUTE: Final = 170
DIGIT_PAUSE_MS: Final = 200
_SYNCHRONOUS: Final = 2
_UTF8: Final = 1
_RATE: Final = 1
# espeak-ng keeps its data's path in 160 characters and checks nothing.
_MAX_PATH_CHARS: Final = 140
_NUMBER: Final = re.compile(r"(\d(?:[.,'\u2019 ]?\d)+)")
_WORD: Final = re.compile(r"\w+")
_SAMPLES: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechEngine:
    """One voice at one speed; German text has a German voice of the same variant."""

    def __init__(self, voice: str = VOICE, words_per_minute: int = WORDS_PER_MINUTE) -> None:
        self._voice, self._words_per_minute = voice, words_per_minute
        self._espeak = _espeak()
        self._espeak.synthesize("", voice, words_per_minute)

    def speak(self, text: str, rate_hz: int) -> bytes:
        """Return the sound of a text."""
        pcm = b"".join(self._parts(text))
        return pcm_of(samples_of(pcm, self._espeak.rate_hz, rate_hz))

    def _parts(self, text: str) -> Iterator[bytes]:
        pause = bytes(2 * self._espeak.rate_hz * DIGIT_PAUSE_MS // 1_000)
        language = "de" if language_of(_WORD.findall(text)) == "de" else "en"
        voice = self._voice if language == "en" else language + self._voice[len(self._voice.partition("+")[0]) :]
        for number, part in enumerate(_NUMBER.split(text)):
            if number % 2 == 0:
                yield self._synthesize(part, voice) if _is_audible(part) else b""
                continue
            for digit in filter(str.isdigit, part):
                yield pause + self._word(DIGITS[language][int(digit)], voice)
            yield pause

    def _word(self, word: str, voice: str) -> bytes:
        """Return a word without the silence that follows a sentence."""
        samples = samples_of(self._synthesize(word, voice), self._espeak.rate_hz, self._espeak.rate_hz)
        return b"".join(pcm_of(stretch) for stretch in stretches(samples, self._espeak.rate_hz, 10_000))

    def _synthesize(self, text: str, voice: str) -> bytes:
        return self._espeak.synthesize(text, voice, self._words_per_minute)


def _is_audible(text: str) -> bool:
    return any(character.isalnum() for character in text)


class _Espeak:
    """The library: one a process, and one text at a time."""

    def __init__(self) -> None:
        loader = library("espeakng_loader")
        data = loader.get_data_path()
        if len(data) > _MAX_PATH_CHARS:
            raise ConfigurationError("The path of espeak-ng's data is too long for it.", "senses")
        self._library: Any = ctypes.CDLL(loader.get_library_path())
        self._lock = threading.Lock()
        self._chunks: list[bytes] = []
        # Held for as long as the library may call it.
        self._callback = _SAMPLES(self._receive)
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), 0))
        if self.rate_hz <= 0:
            raise ConfigurationError("espeak-ng does not start.", "senses")
        self._library.espeak_SetSynthCallback(self._callback)

    def synthesize(self, text: str, voice: str, words_per_minute: int) -> bytes:
        """Return a text's sound, of `rate_hz` samples a second."""
        data = text.encode() + b"\0"
        with self._lock:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ConfigurationError("espeak-ng has no voice of that name.", "voice")
            self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            self._chunks.clear()
            if self._library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None) != 0:
                raise RayroomError("espeak-ng did not speak.")
            return b"".join(self._chunks)

    def _receive(self, samples: Any, count: int, _: Any) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


@cache
def _espeak() -> _Espeak:
    return _Espeak()
