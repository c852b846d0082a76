"""Tells whether a sentence calls a name or only speaks of it. English; knows no room and no agent."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from room_agent.wording import both_ends

READ_CHARS = 2_000

_WORD = re.compile(r"(?P<before>[^\w']*)(?P<word>[\w']+)(?=(?P<after>[^\w']*))")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|[\r\n\x85\u2028\u2029]+")
FILLERS = frozenset("mm mmm mhm mmhmm hm hmm uh um uhm er ah oh huh".split())
_GREETINGS = frozenset("hey hi hello ok okay yo dear thanks morning afternoon evening".split())
_LED = frozenset("so well and but now right alright please yes yeah no thank you good sorry".split())
_LEAD_INS = _GREETINGS | FILLERS | _LED
_LED_IN = re.compile(rf"(?:(?:excuse me|pardon me|(?:quick|one) question|{'|'.join(sorted(_LEAD_INS))})(?: |$))*")
_LEAD_OUTS = frozenset("please thanks".split())
_OPENERS = frozenset(
    "what who whom whose where when which why how is are was were do does did can could will would should has have may "
    "show tell explain read describe summarize summarise repeat look say give help find please".split()
)
_SPOKEN_OF = frozenset(
    "ask asked asking asks tell told telling tells call called calling calls with by of use used using uses about to "
    "from for like likes liked than and or nor not is was are were named the a an my our your their his her its this "
    "that on in at via let without after until into over love loves loved hate hates hated trust trusted tried buy "
    "bought mean means meant mention mentioned said says thinks gave give send sent invite invited add added neither "
    "either both only just even new assistant".split()
)
_ASKED = frozenset("you question".split())
"""What comes before who is asked: "I have a question for you Rayroom"."""
_VERBS = frozenset(
    "is was has had says said does did will would can could should might may must isn't wasn't hasn't doesn't didn't "
    "won't can't couldn't wouldn't shouldn't thinks thought knows knew told gave got and or".split()
)
_PRONOUNS = frozenset("you it this that there these those we i they he she".split())
EVERYDAY = frozenset(
    "will may mark art grant bill rich sue june april august hope faith joy grace rose dawn pat drew chase max frank "
    "mike guest user host admin speaker room screen one everyone someone nobody".split()
)
GRAMMAR = (_LEAD_INS | _OPENERS | _SPOKEN_OF | _VERBS | _PRONOUNS | {"me", "us", "them"}) - {"will", "may"}
_MARKS = (",", ":", "!", "?")
_DASHES = ("-", "\u2013", "\u2014")


@dataclass(frozen=True, slots=True)
class Word:
    """A word in lower case, and the marks around it."""

    word: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """Where in a sentence a name is called, and whether more than its place says so: a comma, a greeting."""

    at: int
    marked: bool


Name = tuple[str, ...]


def sentences(text: str) -> list[list[Word]]:
    """Return the words of each sentence or line."""
    # Compatibility forms are letters too: chat clients send full-width ones. One character may become eighteen.
    plain = unicodedata.normalize("NFKC", both_ends(text, READ_CHARS))[: 2 * READ_CHARS]
    return [found for part in _SENTENCE_END.split(plain) if (found := words(part))]


def words(text: str) -> list[Word]:
    found = _WORD.finditer(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))
    return [Word(match["word"].strip("'"), match["before"], match["after"]) for match in found]


def is_callable(name: Name) -> bool:
    """Tell whether anybody can be called by a name: "What is" or "Can you" is none, whoever bears it."""
    return len("".join(name)) > 1 and not all(map(_is_grammar, name))


def find_call(sentence: list[Word], name: Name, ours: bool) -> Call | None:
    """Return where in a sentence a name is called, None where it is not, or is only spoken of.

    A name of `ours` is called by a mark behind it in the middle of a sentence too; others are rather spoken of there.
    """
    for at in range(len(sentence) - len(name) + 1):
        end = at + len(name)
        if tuple(word.word for word in sentence[at:end]) == name and not _is_mail(sentence, at):
            opens = _leads_in(sentence[:at])
            if _is_tagged(sentence, at) or (_is_opening if opens else _is_call)(sentence, at, end, ours):
                marked = not opens or _is_marked(sentence, at, end)
                return Call(at, marked and (ours or not _is_grammar(name[0])))
    return None


def _is_grammar(word: str) -> bool:
    return word in GRAMMAR or word.split("'")[0] in GRAMMAR


def _leads_in(before: list[Word]) -> bool:
    return _LED_IN.fullmatch(" ".join(word.word for word in before)) is not None


def _is_opening(sentence: list[Word], start: int, end: int, ours: bool) -> bool:
    """Tell whether a name at the start is a call; an everyday word is one where something sets it off."""
    name = [word.word for word in sentence[start:end]]
    if " ".join(name) in EVERYDAY:
        return _is_marked(sentence, start, end)
    if not ours and _is_grammar(name[0]):
        return _is_set_off(sentence[end - 1])
    return _is_marked(sentence, start, end) or not _is_spoken_of(sentence, end)


def _is_call(sentence: list[Word], start: int, end: int, ours: bool) -> bool:
    before, last = sentence[:start], sentence[end - 1]
    ends = all(word.word in _LEAD_OUTS for word in sentence[end:])
    if "," in sentence[start].before:
        return ends or _is_set_off(last)
    if ours and _is_set_off(last, _MARKS) and (":" in sentence[start].before or not _leads_to(before[-1].word)):
        return True
    asks = before[0].word in _OPENERS and not _leads_to(before[-1].word)
    return ends and (asks or before[-1].word in _ASKED)


def _leads_to(word: str) -> bool:
    """Tell whether the next word's name is only spoken of: "ask Rayroom", "that's Rayroom"."""
    return word in _SPOKEN_OF or word.endswith(("'s", "'re"))


def _is_mail(sentence: list[Word], start: int) -> bool:
    """Tell whether a name is a part of an address as "info@rayroom"."""
    return start > 0 and sentence[start].before == "@"


def _is_tagged(sentence: list[Word], start: int) -> bool:
    return sentence[start].before.endswith("@")


def _is_marked(sentence: list[Word], start: int, end: int) -> bool:
    greeted = start > 0 and sentence[start - 1].word in _GREETINGS
    return greeted or _is_set_off(sentence[end - 1]) or _is_tagged(sentence, start)


def _is_set_off(last: Word, marks: tuple[str, ...] = (*_MARKS, *_DASHES)) -> bool:
    return last.after.lstrip()[:1] in marks


def _is_spoken_of(sentence: list[Word], end: int) -> bool:
    """Tell whether the sentence goes on about who it names: "Ann is late", but not "Ann can you hear me"."""
    after = sentence[end:]
    if not after or "?" in sentence[-1].after:
        return False
    return after[0].word in _VERBS and (len(after) < 2 or after[1].word not in _PRONOUNS)
