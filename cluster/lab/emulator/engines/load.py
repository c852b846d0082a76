"""Load all engines. Their libraries, 200 MB on disk, are imported only here."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.engines.library import library


def load_engines(phrases: Iterable[str]) -> Engines:
    """Return the OCR, ASR, TTS and answering engines; the recognizer's grammar is `phrases`.

    Raises ConfigurationError where the extra `senses` is not installed, or a word is in no dictionary.
    """
    # soxr is first used with the first audio; import it now, so that a missing library fails at startup.
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
