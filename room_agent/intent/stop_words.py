"""Knows the utterances that ask nothing: thanks, and a wish for quiet. English; knows no room and no agent."""

from __future__ import annotations

import re
import unicodedata

_WHILE = "(?:second|sec|moment|minute|bit|while)"
_THANKS = (
    "thank you(?: (?:very|so) much)?|thanks(?: (?:a lot|so much))?|much appreciated|okay|ok|alright|all right|right|"
    "great|good(?: to know)?|very good|sounds good|fine|nice|cool|perfect|excellent|awesome|wonderful|lovely|"
    "interesting|oh|ah|aha|hm|hmm|mm|um|uh|wow|well|(?:i have |i've |i )?got it|i see|i understand|understood|noted|"
    "(?:that |it )?makes sense"
)
"""Yes and no are left out: they may reply to what the agent asked."""
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
# A phrase once read is not read otherwise: "be quiet" many times over would be tried in every way there is.
_STOPS = re.compile(rf"(?>(?:{_STOP}|{_POLITE}) )*+")
_HAS_STOP = re.compile(rf" (?:{_STOP}) ")
_ALL_THANKS = re.compile(rf"(?>(?:{_THANKS}) )++")


def acknowledges(text: str) -> bool:
    """Tell whether an utterance says nothing but "okay", "thank you" or the like; "right?" is a question."""
    return "?" not in unicodedata.normalize("NFKC", text) and _ALL_THANKS.fullmatch(_bare(text).lstrip()) is not None


def asks_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Tell whether an utterance says nothing but that the agent should be quiet."""
    bare = _bare(text)
    for name in names:
        bare = bare.replace(f" {_bare(name).strip()} ", " ")
    return _HAS_STOP.search(bare) is not None and _STOPS.fullmatch(bare.lstrip()) is not None


def asks_us_to_stop(text: str, names: tuple[str, ...]) -> bool:
    """Tell whether it says so by name: "stop Rayroom" is meant for the agent without a comma, too."""
    return asks_to_stop(text, names) and not asks_to_stop(text, ())


def _bare(text: str) -> str:
    """Return the words in lower case, a space around each."""
    words = re.findall(r"[\w']+", unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))
    return f" {' '.join(words)} "
