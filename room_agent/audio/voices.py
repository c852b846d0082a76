"""Chooses the voice of each speech by the language of the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from livekit.plugins import elevenlabs

from routing.models import VOICE_LANGUAGES

MAX_LOGGED = 64
"""The languages without a voice of which a room logs the first utterance."""

log = structlog.get_logger()


class Voices:
    """The voices of one room: one for each language of `by_language`, and the default one for all others."""

    def __init__(self, plugins: Sequence[elevenlabs.TTS], default: str, by_language: Mapping[str, str]) -> None:
        self._plugins = plugins
        self._default = default
        self._by_language = by_language
        self._unspoken: set[str] = set()

    def use(self, language: str) -> None:
        """Speak with the voice of `language`, a code such as `de` or `de-CH`; the next speech begins with it."""
        base = language.partition("-")[0].lower()
        if base and base not in VOICE_LANGUAGES and base not in self._unspoken and len(self._unspoken) < MAX_LOGGED:
            self._unspoken.add(base)
            log.warning("no voice speaks this language; the default voice is used", language=base)
        for plugin in self._plugins:
            plugin.update_options(voice_id=self._by_language.get(base, self._default))
