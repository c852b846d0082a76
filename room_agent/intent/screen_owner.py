"""Decides which participant's screen a question is about: a named one's, or the asker's own. English.

Display names hold more than a name. Of "Alex (IT)" or "Tom - Head of Product" only the first name part counts: "it" and
"product" occur in questions about every screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from room_agent.intent.english_words import EVERYDAY_WORDS, GRAMMAR_WORDS
from room_agent.text.normalize import READ_CHARS, both_ends, without_accents, words_in

MAX_NAME_CHARS = 200
MIN_CHARS = 2

_BRACKETED = re.compile(r"[(\[{<][^()\[\]{}<>]*[)\]}>]?")
_PART_ENDS = re.compile(r" [-\u2013\u2014|/\u00b7\u2022@~]+ |[|:;]| (?:at|on|from|of|in|for|with) ")
_NO_NAMES = (
    GRAMMAR_WORDS
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
# Names that are also common words: a name only in a context such as "is Will sharing".
_AMBIGUOUS = (
    EVERYDAY_WORDS
    | frozenset(
        "dev van bin price white black brown green gray grey red violet amber ruby long short young small cook king "
        "banks bell best bond case cash chance church cross day field fields fish ford fox gold hall hill house "
        "hunt key keys knight lane law little love low major moon north south west east park parks point "
        "points power pool reed rush sharp spring stone street strong summer sun table waters wells winter "
        "wise wood woods work year ray star major miles".split()
    )
) - _NO_NAMES
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
    """Return a question's words in lower case and without accents, for `names`."""
    return words_in(without_accents(both_ends(question, READ_CHARS)))


def names(question_words: list[str], name: str) -> bool:
    """Return whether a question of these words names the participant called `name`."""
    naming = _naming_words(name)
    sure = naming - _AMBIGUOUS
    forms = sure | {f"{word}'s" for word in naming} | {f"{word}s" for word in sure}
    if any(word in forms and word not in _NO_NAMES for word in question_words):
        return True
    return any(word in naming and _is_person(question_words, at) for at, word in enumerate(question_words))


def is_askers_own(question: str) -> bool:
    """Return whether a question is about the asker's own screen."""
    return _MINE.search(without_accents(both_ends(question, READ_CHARS))) is not None


def _is_person(question_words: list[str], at: int) -> bool:
    """Return whether a common word is a name in its context: "is Will sharing", "the slide of Will"."""
    before, after = (question_words[at - 1] if at else ""), question_words[at + 1 : at + 2]
    return (before in _ASKS and bool(after) and after[0] in _SHOWS) or (before in _BELONGS and not after)


def _naming_words(name: str) -> frozenset[str]:
    """Return the words of the first part of a display name with any word that can name a person."""
    plain = _BRACKETED.sub(" ", without_accents(name[:MAX_NAME_CHARS]))
    parts = (_can_name(words_in(part)) for part in _PART_ENDS.split(" ".join(plain.split())))
    return next((part for part in parts if part), frozenset())


def _can_name(words: Iterable[str]) -> frozenset[str]:
    # The name in "Bob's iPhone" is "bob".
    bare = (word.removesuffix("'s") for word in words)
    return frozenset(word for word in bare if len(word) >= MIN_CHARS and word not in _NO_NAMES and not word.isdigit())
