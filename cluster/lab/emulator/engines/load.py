"""Puts all senses together. Only now are their libraries loaded: eyes, ears and a tongue come to 200 MB on disk."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.lab.emulator.core.engines import Senses
from cluster.lab.emulator.engines.library import library


def all_senses(phrases: Iterable[str]) -> Senses:
    """Return eyes, ears that know `phrases`, a tongue, and the rule that answers.

    Raises ConfigurationError where the extra `senses` is not installed, or a phrase has a word that nobody knows.
    """
    # It is used when the first sound comes, which would be late to hear that it is missing.
    library("soxr")
    from cluster.lab.emulator.engines.answerer import Wits
    from cluster.lab.emulator.engines.asr import Ears
    from cluster.lab.emulator.engines.ocr import Eyes
    from cluster.lab.emulator.engines.tts import Tongue

    return Senses(answerer=Wits(Eyes().describe).answer, transcriber=Ears(phrases).hear, speaker=Tongue().speak)
