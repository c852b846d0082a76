"""The agent's own sentences about its tools, and the words that mean yes, in six languages."""

from __future__ import annotations

from dataclasses import dataclass

from room_agent.text.normalize import folded, without_accents, words_in

MAX_YES_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPhrases:
    """The sentences of one language."""

    looking_up: str
    doing: str
    one_moment: str
    """Two sentences: TTS speaks the first once the second has begun, and the second with the answer."""
    proposal: str
    """Names the tool and the arguments, and asks for a yes."""


_PHRASES = {
    "en": ToolPhrases(
        looking_up="Looking up: {title}",
        doing="Doing this: {title}",
        one_moment="One moment, please, I am looking it up. Thank you for waiting.",
        proposal="I would do this: {title}{arguments}. Shall I? Please say yes.",
    ),
    "de": ToolPhrases(
        looking_up="Ich sehe nach: {title}",
        doing="Ich mache das: {title}",
        one_moment="Einen Moment bitte, ich sehe nach. Danke fürs Warten.",
        proposal="Ich würde das tun: {title}{arguments}. Soll ich? Bitte sagen Sie ja.",
    ),
    "fr": ToolPhrases(
        looking_up="Je cherche : {title}",
        doing="Je fais ceci : {title}",
        one_moment="Un instant, s'il vous plaît, je cherche. Merci d'avoir attendu.",
        proposal="Je ferais ceci : {title}{arguments}. Dois-je le faire ? Dites oui, s'il vous plaît.",
    ),
    "es": ToolPhrases(
        looking_up="Busco: {title}",
        doing="Hago esto: {title}",
        one_moment="Un momento, por favor, lo estoy buscando. Gracias por esperar.",
        proposal="Haría esto: {title}{arguments}. ¿Lo hago? Diga sí, por favor.",
    ),
    "it": ToolPhrases(
        looking_up="Cerco: {title}",
        doing="Faccio questo: {title}",
        one_moment="Un momento, per favore, sto cercando. Grazie per l'attesa.",
        proposal="Farei questo: {title}{arguments}. Procedo? Dica sì, per favore.",
    ),
    "pt": ToolPhrases(
        looking_up="Procuro: {title}",
        doing="Faço isto: {title}",
        one_moment="Um momento, por favor, estou a procurar. Obrigado por esperar.",
        proposal="Eu faria isto: {title}{arguments}. Devo fazer? Diga sim, por favor.",
    ),
}
_YES = frozenset(
    "yes|yes please|yes do it|yes do that|yes go ahead|yes you may|please do|go ahead|yes i confirm|i confirm|"
    "ja|ja bitte|ja gerne|ja mach das|ja machen sie das|ja tu das|ja ich bestätige|"
    "oui|oui s'il vous plait|oui s'il te plait|oui merci|oui vas y|oui allez y|oui faites le|oui fais le|je confirme|"
    "si|si por favor|si hazlo|si hagalo|si adelante|adelante|confirmo|"
    "si per favore|si grazie|si procedi|si proceda|si fallo|si lo faccia|"
    "sim|sim por favor|sim faca|sim pode|pode fazer|sim avance".replace("ä", "a").split("|")
)
"""Whole utterances, without accents. Words that also acknowledge, such as "okay" and "right", are none of them."""


def phrases(language: str) -> ToolPhrases:
    """Return the sentences of a language by Deepgram's code; English for any other."""
    return _PHRASES.get(language.partition("-")[0].lower(), _PHRASES["en"])


def is_yes(text: str, names: tuple[str, ...] = ()) -> bool:
    """Return whether an utterance is a yes and nothing else but the agent's name, in any of the six languages."""
    if len(text) > MAX_YES_CHARS or "?" in text:
        return False
    words = _words(text)
    for name in map(_words, names):
        if name and words.endswith(f" {name}"):
            words = words.removesuffix(f" {name}")
        elif name and words.startswith(f"{name} "):
            words = words.removeprefix(f"{name} ")
    return words in _YES


def _words(text: str) -> str:
    return " ".join(words_in(without_accents(folded(text))))
