"""Puts all senses together. Only now are their libraries loaded: eyes, ears and a tongue come to 200 MB on disk."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.engines.library import library


def load_engines(phrases: Iterable[str]) -> Engines:
    """Return eyes, ears that know `phrases`, a tongue, and the rule that answers.

    Raises ConfigurationError where the extra `senses` is not installed, or a phrase has a word that nobody knows.
    """
    # It is used when the first sound comes, which would be late to hear that it is missing.
    library("soxr")
    from cluster.lab.emulator.engines.answerer import RuleAnswerer
    from cluster.lab.emulator.engines.asr import PhraseRecognizer
    from cluster.lab.emulator.engines.ocr import OcrEngine
    from cluster.lab.emulator.engines.tts import SpeechEngine

    return Engines(
        answerer=RuleAnswerer(OcrEngine().describe).answer,
        transcriber=PhraseRecognizer(phrases).recognize,
        speaker=SpeechEngine().speak,
    )
