"""Recognises an utterance that only tells the agent to stop, in the languages of a small table.

Whoever is being answered stops the agent by speaking at all. These words are for everybody else, and for the chat.
"""

from __future__ import annotations

import re

from room_agent.text.normalize import READ_CHARS, folded, without_accents

STOP_PHRASES = {
    "en": "stop|stop it|stop talking|please stop|be quiet|enough|that's enough|never mind|cancel|cancel that|shut up",
    "de": "stopp|stop|halt|hör auf|sei still|ruhe|genug|das reicht|es reicht|schon gut|vergiss es",
    "fr": "stop|arrête|arrêtez|tais-toi|taisez-vous|silence|assez|ça suffit|laisse tomber|laissez tomber",
    "es": "para|pare|alto|basta|basta ya|cállate|cállese|silencio|ya basta|déjalo|es suficiente",
    "it": "stop|basta|basta così|ferma|fermati|smettila|zitto|zitta|silenzio|fai silenzio|lascia stare",
    "pt": "para|pare|parar|chega|basta|cala-te|cale-se|silêncio|já chega|deixa|deixa estar",
}
PLEASE = {
    "en": "please",
    "de": "bitte",
    "fr": "s'il te plaît|s'il vous plaît",
    "es": "por favor",
    "it": "per favore",
    "pt": "por favor|se faz favor",
}
_PART_END = re.compile(r"[,;.!?\u2026\r\n]+")


def asks_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether a whole utterance, without the agent's names and a word for "please", requests silence."""
    if len(text) > READ_CHARS:
        return False
    others = [taken for taken in (*map(_words, names), *_PLEASE) if taken.strip()]
    parts = [_without(_words(part), others) for part in _PART_END.split(text)]
    said = [part for part in parts if part.strip()]
    return bool(said) and all(part in _STOP for part in said)


def asks_agent_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether it does so with one of the agent's names."""
    # Without names to remove, a text that holds one is no stop phrase.
    return asks_to_stop(text, names) and not asks_to_stop(text, ())


def _without(words: str, others: list[str]) -> str:
    for taken in others:
        words = words.replace(taken, " ")
    return words


def _words(text: str) -> str:
    """Return a text's words in lower case without accents, with a space around each."""
    words = " ".join(re.findall(r"\w+", without_accents(folded(text))))
    return f" {words} "


_STOP = frozenset(_words(phrase) for phrases in STOP_PHRASES.values() for phrase in phrases.split("|"))
_PLEASE = tuple(_words(phrase) for phrases in PLEASE.values() for phrase in phrases.split("|"))
