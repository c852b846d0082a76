"""Recognises English utterances that need no answer: thanks, and requests to stop."""

from __future__ import annotations

import re

from room_agent.text.normalize import folded

_WHILE = "(?:second|sec|moment|minute|bit|while)"
_THANKS = (
    "thank you(?: (?:very|so) much)?|thanks(?: (?:a lot|so much))?|much appreciated|okay|ok|alright|all right|right|"
    "great|good(?: to know)?|very good|sounds good|fine|nice|cool|perfect|excellent|awesome|wonderful|lovely|"
    "interesting|oh|ah|aha|hm|hmm|mm|um|uh|wow|well|(?:i have |i've |i )?got it|i see|i understand|understood|noted|"
    "(?:that |it )?makes sense"
)
"""Without yes and no: they may reply to a question of the agent."""
_STOP = (
    "stop(?: (?:it|that|this|there|right there|talking|speaking|answering))?|"
    "(?:cancel|forget|skip)(?: (?:it|that|this))?|"
    "(?:that's |thats |that is )?enough(?: information)?|(?:be |keep )?(?:quiet(?: down)?|silent)|silence|hush|shut up|"
    "never ?mind|wait|hold on|hang on|pause|(?:that'll|that will) do|no more|no need|mute yourself|zip it|"
    rf"(?:one|just a) {_WHILE}"
)
_POLITE = (
    f"please|be|no|yes|yeah|hey|right now|now|just|sorry|already|(?:can|could|would) you|you can|i said|for now|"
    f"for today|(?:for )?a {_WHILE}|{_THANKS}"
)
# Possessive: backtracking over "be quiet" repeated many times would take exponential time.
_ONLY_STOP = re.compile(rf"(?>(?:{_STOP}|{_POLITE}) )*+")
_STOP_PHRASE = re.compile(rf" (?:{_STOP}) ")
_ONLY_THANKS = re.compile(rf"(?>(?:{_THANKS}) )++")


def acknowledges(text: str) -> bool:
    """Return whether an utterance is only "okay", "thank you" or the like. "Right?" is a question, so it is not."""
    return "?" not in folded(text) and _ONLY_THANKS.fullmatch(_words(text).lstrip()) is not None


def asks_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether an utterance only requests silence."""
    words = _words(text)
    for name in names:
        words = words.replace(f" {_words(name).strip()} ", " ")
    return _STOP_PHRASE.search(words) is not None and _ONLY_STOP.fullmatch(words.lstrip()) is not None


def asks_agent_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Return whether it does so with the agent's name: "stop Rayroom" needs no comma."""
    # Without names to remove, a text that holds one matches no stop phrase.
    return asks_to_stop(text, names) and not asks_to_stop(text, ())


def _words(text: str) -> str:
    """Return the words of a text in lower case, with a space around each."""
    words = re.findall(r"[\w']+", folded(text))
    return f" {' '.join(words)} "
