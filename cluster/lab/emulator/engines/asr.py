"""Recognize known phrases and spoken digits with pocketsphinx."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from cluster.lab.emulator.engines.library import library
from cluster.lab.emulator.engines.pcm import Samples, pcm_of, samples_of, stretches
from routing.errors import ConfigurationError

RATE_HZ: Final = 16_000
PADDING_S: Final = 0.25
HISS_RMS: Final = 30
"""Noise added to digital silence, which the model was not trained on and recognizes as words."""
DIGITS: Final = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "niner"),
    "de": ("null", "eins", "zwo", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
}
"""As they are said on the phone or by pilots: a nine is too easily taken for a five, a "zwei" for a "drei"."""
DIGIT_PAUSE_MS: Final = 120
"""Shorter than the tongue's pause between digits, longer than the stop before a `t`."""
LONGEST_DIGIT_S: Final = 0.9
PRONOUNCED: Final = {
    "rayroom": "R EY R UW M",
    "niner": "N AY N ER",
    # German by the nearest English sounds.
    "null": "N UW L",
    "eins": "AY N S",
    "zwo": "T S V OW",
    "drei": "D R AY",
    "vier": "F IH R",
    "fuenf": "F UH N F",
    "sechs": "Z EH K S",
    "acht": "AA HH T",
    "neun": "N OY N",
    "welche": "V EH L HH AH",
    "zahl": "T S AA L",
    "steht": "SH T EY T",
    "auf": "AW F",
    "der": "D EH R",
    "folie": "F OW L Y AH",
}
"""Pronunciations that the dictionary lacks, or has in English only."""
_SPELLED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


class PhraseRecognizer:
    """Recognizes phrases by a grammar. Other speech gives an empty result, or a wrong phrase."""

    def __init__(self, phrases: Iterable[str], pronounced: Mapping[str, str] | None = None) -> None:
        self._phrases = {bare(phrase): phrase for phrase in phrases}
        self._decoder = _decoder(self._phrases, PRONOUNCED | dict(pronounced or {}))
        self._initial_cmn = self._decoder.get_cmn(False)
        self._lock = threading.Lock()

    def recognize(self, pcm: bytes, rate_hz: int) -> str:
        """Return the phrase, as it was written."""
        return self.recognize_samples(samples_of(pcm, rate_hz, RATE_HZ))

    def recognize_samples(self, samples: Samples) -> str:
        padding = np.zeros(int(PADDING_S * RATE_HZ), np.float32)
        padded = np.concatenate([padding, samples, padding])
        with_hiss = padded + np.random.default_rng(7).normal(0, HISS_RMS, padded.size)
        with self._lock:
            # Reset the adapted mean, so that a result does not depend on earlier audio.
            self._decoder.set_cmn(self._initial_cmn)
            self._decoder.start_utt()
            self._decoder.process_raw(pcm_of(with_hiss.astype(np.float32)), full_utt=True)
            self._decoder.end_utt()
            hypothesis = self._decoder.hyp()
        # The hypothesis can be half a phrase, which counts as no result.
        return self._phrases.get(hypothesis.hypstr, "") if hypothesis is not None else ""


class DigitRecognizer:
    """Recognizes digits spoken one by one in a language. Any other short word is recognized as some digit."""

    def __init__(self, language: str = "en") -> None:
        self._digits = DIGITS[language]
        self._recognizer = PhraseRecognizer(self._digits)

    def recognize(self, pcm: bytes, rate_hz: int) -> str:
        """Return the digits in a sound, in order; a space stands for anything longer than a digit."""
        sound = samples_of(pcm, rate_hz, RATE_HZ)
        return "".join(self._digit(stretch) for stretch in stretches(sound, RATE_HZ, DIGIT_PAUSE_MS)).strip()

    def _digit(self, stretch: Samples) -> str:
        if stretch.size > LONGEST_DIGIT_S * RATE_HZ:
            return " "
        word = self._recognizer.recognize_samples(stretch)
        return str(self._digits.index(word)) if word else " "


def bare(phrase: str) -> str:
    """Return a phrase's words as a dictionary has them."""
    return " ".join(re.findall(r"[a-z']+", phrase.lower().translate(_SPELLED)))


def _decoder(phrases: Iterable[str], pronounced: Mapping[str, str]) -> Any:
    decoder = library("pocketsphinx").Decoder(samprate=RATE_HZ, lm=None, loglevel="FATAL")
    words = sorted({word for phrase in phrases for word in phrase.split()})
    for word in words:
        known = decoder.lookup_word(word) is not None
        if word in pronounced:
            decoder.add_word(f"{word}(2)" if known else word, pronounced[word], True)
        elif not known:
            raise ConfigurationError(f"The recognizer's dictionary lacks `{word}`: pass its pronunciation.", "phrases")
    if not words:
        raise ConfigurationError("The recognizer needs at least one phrase with a word.", "phrases")
    decoder.add_jsgf_string("phrases", f"#JSGF V1.0; grammar phrases; public <phrase> = {' | '.join(phrases)};")
    decoder.activate_search("phrases")
    return decoder
