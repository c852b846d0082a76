"""Tells whose picture a question asks for: who is named in it, or who asks it. English; knows no picture.

People call themselves what they like. Of "Alex (IT)" or "Tom - Head of Product" the person's name counts and no more:
"it" and "product" are in questions about anybody's screen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from room_agent.intent.addressee import EVERYDAY, GRAMMAR
from room_agent.text.normalize import both_ends

READ_CHARS = 2_000
MAX_NAME_CHARS = 200
LEAST_CHARS = 2

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BRACKETED = re.compile(r"[(\[{<][^()\[\]{}<>]*[)\]}>]?")
_PART_ENDS = re.compile(r" [-\u2013\u2014|/\u00b7\u2022@~]+ |[|:;]| (?:at|on|from|of|in|for|with) ")
_SPELLED = str.maketrans(
    {"\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u0131": "i", "\u00e6": "ae", "\u0153": "oe", "\u2019": "'"}
)
_NEVER = (
    GRAMMAR
    | frozenset(
        "everyone someone nobody them head lead chief vice senior junior product project program manager "
        "engineer developer designer analyst director officer president founder owner intern consultant sales "
        "marketing finance design data support legal security research operations office team staff "
        "department group company board hr it ceo cto cfo coo vp pm po qa ux ui inc ltd gmbh dr mr mrs ms "
        "miss prof professor sir von de der den di da du la le del ipad iphone android phone mobile "
        "tablet laptop desktop mac macbook pc windows conference meeting webcam camera zoom teams share "
        "sharing presenting presentation presenter slide slides chart charts graph table picture image "
        "diagram title text number value total error code first second third last next left right top bottom "
        "page pages line row column cell bar colour color figure figures".split()
    )
) - {"will", "may"}
# What is in questions as a word too: somebody's name only where the question says so.
_DOUBTFUL = (
    EVERYDAY
    | frozenset(
        "dev van bin price white black brown green gray grey red violet amber ruby long short young small cook king "
        "banks bell best bond case cash chance church cross day field fields fish ford fox gold hall hill house "
        "hunt key keys knight lane law little love low major moon north south west east park parks point "
        "points power pool reed rush sharp spring stone street strong summer sun table waters wells winter "
        "wise wood woods work year ray star major miles".split()
    )
) - _NEVER
_SHOWS = frozenset(
    "sharing share shared presenting present presented showing show showed shown displaying pointing "
    "highlighting drawing typing holding wearing".split()
)
_ASKS = frozenset("is was are were did has does what's who's where's".split())
_BELONGS = frozenset("of by from".split())
_DOING = (
    r"(?:sharing|showing|presenting|pointing|displaying|getting|editing|typing|drawing|highlighting|holding|wearing)"
)
_MINE = re.compile(
    r"\b(?:my|mine)\b(?! (?:colleague|boss|manager|team|co-?worker|friend|question|name|opinion|understanding|guess))|"
    rf"\b(?:i'm|i am|am i) (?:just |now |currently |always |still )?{_DOING}\b|\bbehind me\b|"
    r"\bi (?:just |have just |have )?(?:shared?|show(?:ed|n)?|present(?:ed)?|drew|typed|highlighted|selected)\b|"
    r"\bi have (?:open|up)\b"
)


def words_of(question: str) -> list[str]:
    """Return a question's words as `names` compares them: in lower case, without accents."""
    return _WORD.findall(_folded(both_ends(question, READ_CHARS)))


def names(asked: list[str], name: str) -> bool:
    """Tell whether a question of these words names the one who is called `name`."""
    naming = _naming_words(name)
    sure = naming - _DOUBTFUL
    forms = sure | {f"{word}'s" for word in naming} | {f"{word}s" for word in sure}
    if any(word in forms and word not in _NEVER for word in asked):
        return True
    return any(word in naming and _is_person(asked, at) for at, word in enumerate(asked))


def is_askers_own(question: str) -> bool:
    """Tell whether a question is about what its asker shows."""
    return _MINE.search(_folded(both_ends(question, READ_CHARS))) is not None


def _is_person(asked: list[str], at: int) -> bool:
    """Tell whether a word is somebody where it stands: "is Will sharing", "the slide of Will"."""
    before, after = (asked[at - 1] if at else ""), asked[at + 1 : at + 2]
    return (before in _ASKS and bool(after) and after[0] in _SHOWS) or (before in _BELONGS and not after)


def _naming_words(name: str) -> frozenset[str]:
    """Return the words of the first part of a name that has any which can name a person."""
    plain = _BRACKETED.sub(" ", _folded(name[:MAX_NAME_CHARS]))
    parts = (_can_name(_WORD.findall(part)) for part in _PART_ENDS.split(" ".join(plain.split())))
    return next((part for part in parts if part), frozenset())


def _can_name(words: Iterable[str]) -> frozenset[str]:
    # "Bob's iPhone" is Bob.
    bare = (word.removesuffix("'s") for word in words)
    return frozenset(word for word in bare if len(word) >= LEAST_CHARS and word not in _NEVER and not word.isdigit())


def _folded(text: str) -> str:
    """Return a text in lower case and without accents, so that "Jose" is "José"."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char)).translate(_SPELLED)
