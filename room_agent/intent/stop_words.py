"""Recognises an utterance that only tells the agent to stop, in the languages of a small table.

Whoever is being answered stops the agent by speaking at all. These words are for everybody else, and for the chat.
"""

from __future__ import annotations

import re

from room_agent.text.normalize import READ_CHARS, folded, without_accents

STOP_PHRASES = {
    "en": "stop|stop it|stop talking|be quiet|enough|that's enough|that is enough|never mind|cancel|wait|hold on|pause",
    "de": "stopp|stop|halt|hör auf|sei still|ruhe|genug|das reicht|es reicht|schon gut|vergiss es|warte|moment",
    "fr": "stop|arrête|arrêtez|tais-toi|taisez-vous|silence|assez|ça suffit|laisse tomber|attends|attendez|pause",
    "es": "para|pare|alto|basta|cállate|cállese|silencio|ya basta|déjalo|es suficiente|espera|espere",
    "it": "stop|basta|basta così|ferma|fermati|smettila|zitto|zitta|silenzio|lascia stare|aspetta|aspetti",
    "pt": "para|pare|chega|basta|cala-te|cale-se|silêncio|já chega|deixa estar|espera|espere",
}
AROUND = {
    "en": "please|no|okay",
    "de": "bitte|nein|ja",
    "fr": "s'il te plaît|s'il vous plaît|non",
    "es": "por favor|no|vale",
    "it": "per favore|no",
    "pt": "por favor|se faz favor|não",
}
"""Words that may stand around the phrase."""


def asks_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether a whole utterance, without the agent's names and words such as "please", only requests silence."""
    if len(text) > READ_CHARS:
        return False
    words = _words(text)
    for taken in (*map(_words, names), *_AROUND):
        # Twice: two of them in a row share a space.
        words = words.replace(taken, " ").replace(taken, " ") if taken.strip() else words
    return _ONLY_STOP.fullmatch(words.lstrip()) is not None


def asks_agent_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether it does so with one of the agent's names."""
    # Without names to remove, a text that holds one is no stop phrase.
    return asks_to_stop(text, names) and not asks_to_stop(text, ())


def _words(text: str) -> str:
    """Return a text's words in lower case without accents, with a space around each."""
    words = " ".join(re.findall(r"\w+", without_accents(folded(text))))
    return f" {words} "


_STOP = sorted({_words(phrase).lstrip() for phrases in STOP_PHRASES.values() for phrase in phrases.split("|")})
# The longest first, and possessive: backtracking over many repetitions would take exponential time.
_ONLY_STOP = re.compile(f"(?>{'|'.join(reversed(_STOP))})++")
_AROUND = tuple(_words(phrase) for phrases in AROUND.values() for phrase in phrases.split("|"))
