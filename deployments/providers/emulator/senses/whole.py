"""Puts all senses together. Only now are their libraries loaded: eyes, ears and a tongue come to 200 MB on disk."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.providers.emulator.senses.libraries import library
from deployments.providers.emulator.senses.seams import Senses


def all_senses(phrases: Iterable[str]) -> Senses:
    """Return eyes, ears that know `phrases`, a tongue, and the rule that answers.

    Raises ConfigurationError where the extra `senses` is not installed, or a phrase has a word that nobody knows.
    """
    # It is used when the first sound comes, which would be late to hear that it is missing.
    library("soxr")
    from deployments.providers.emulator.senses.ears import Ears
    from deployments.providers.emulator.senses.eyes import Eyes
    from deployments.providers.emulator.senses.tongue import Tongue
    from deployments.providers.emulator.senses.wits import Wits

    return Senses(answerer=Wits(Eyes().describe).answer, transcriber=Ears(phrases).hear, speaker=Tongue().speak)
