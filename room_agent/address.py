"""Tells whether an utterance addresses the agent. English; plain values in, a verdict with its reason out.

The rules, the first that holds decides:

1. It says nothing but "mm" and "uh-huh": nobody is addressed.
2. Somebody is called by name, the agent or another participant: that one is addressed, the last one called if several.
   A call is a name at the start ("Rayroom, ...", "hey Rayroom ..."), after a comma ("what is it, Rayroom?"), or at
   the end of a question. A name that is only spoken of ("we should ask Rayroom", "Rayroom was wrong") is no call.
3. Nobody else is in the room: the agent is addressed.
4. The agent has just answered this speaker: the agent is addressed.
5. Otherwise people talk to each other.

Speech recognition often leaves commas out, so a name at the start is a call even without one. Where a participant's
name is an everyday word ("Will", "May"), it is a call only with a comma or a greeting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

READ_CHARS = 2_000
READ_PEOPLE = 64
READ_NAME_CHARS = 256

_WORD = re.compile(r"(?P<before>[^\w']*)(?P<word>[\w']+)(?=(?P<after>[^\w']*))")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_FILLERS = frozenset("mm mmm mhm mmhmm hm hmm uh um uhm er ah oh huh".split())
_GREETINGS = frozenset("hey hi hello ok okay yo dear thanks".split())
_LEAD_INS = _GREETINGS | _FILLERS | frozenset("so well and but now right alright please yes yeah no thank you".split())
_OPENERS = frozenset(
    "what who whom whose where when which why how is are was were do does did can could will would should has have may "
    "show tell explain read describe summarize summarise repeat look say give help find please".split()
)
_SPOKEN_OF = frozenset(
    "ask asked asking tell told telling call called with by of use using used about to from for like than and or is "
    "was named the a an my our your their this that on in at via let".split()
)
_VERBS = frozenset(
    "is was has had says said does did will would can could should might may must isn't wasn't hasn't doesn't didn't "
    "won't can't couldn't wouldn't shouldn't thinks thought knows knew told gave got and or".split()
)
_PRONOUNS = frozenset("you it this that there these those we i they he she".split())
_EVERYDAY = frozenset(
    "will may mark art grant bill rich sue june april august hope faith joy grace rose dawn pat drew chase max frank "
    "mike guest user host admin speaker room screen what who how one me you everyone someone nobody the a an".split()
)

Why = Literal[
    "said nothing", "called by name", "another is called", "nobody else is here", "follow-up", "talk among people"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSettings:
    """What the agent is called, as recognition may write it, and how long its answer invites the next turn."""

    names: tuple[str, ...] = ("rayroom", "ray room")
    follow_up_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Person:
    """A human in the room."""

    identity: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who is in the room, the speaker too, and whom the agent answered last; `answered_at_s` is its answer's end."""

    people: Sequence[Person]
    answered: str | None = None
    answered_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Whether the agent is addressed, and by which rule."""

    to_agent: bool
    why: Why


def address(
    text: str, speaker: str, company: Company, now_s: float, settings: AddressSettings | None = None
) -> Address:
    """Return whether `text`, said by the participant with the identity `speaker`, is for the agent."""
    settings = settings or AddressSettings()
    sentences = [words for part in _SENTENCE_END.split(text[:READ_CHARS]) if (words := _words(part))]
    if all(word.word in _FILLERS for words in sentences for word in words):
        return Address(False, "said nothing")
    others = [person for person in company.people if person.identity != speaker]
    called = _last_called(sentences, settings, others)
    if called is not None:
        return Address(called == "agent", "called by name" if called == "agent" else "another is called")
    if not others:
        return Address(True, "nobody else is here")
    if _follows_up(speaker, company, now_s, settings):
        return Address(True, "follow-up")
    return Address(False, "talk among people")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word in lower case, and the marks around it."""

    word: str
    before: str
    after: str


def _words(text: str) -> list[_Word]:
    found = _WORD.finditer(text.casefold().replace("\u2019", "'"))
    return [_Word(match["word"].strip("'"), match["before"], match["after"]) for match in found]


def _last_called(
    sentences: list[list[_Word]], settings: AddressSettings, others: Sequence[Person]
) -> Literal["agent", "another"] | None:
    ours = {_name(name) for name in settings.names} - {()}
    theirs = {name for person in others[:READ_PEOPLE] for name in _names_of(person.name)} - ours
    for sentence in reversed(sentences):
        calls = [(at, "agent") for name in ours if (at := _called_at(sentence, name)) is not None]
        calls += [(at, "another") for name in theirs if (at := _called_at(sentence, name)) is not None]
        if calls:
            # In one sentence the first one called is meant: "Rayroom, what did Ann say, Bob?" hardly occurs.
            return "agent" if min(calls)[1] == "agent" else "another"
    return None


def _name(text: str) -> tuple[str, ...]:
    return tuple(word.word for word in _words(text[:READ_NAME_CHARS]))


def _names_of(name: str) -> list[tuple[str, ...]]:
    """Return what a participant may be called: the whole name, or its first word."""
    words = _name(name)
    return [called for called in {words, words[:1]} if called and len("".join(called)) > 1]


def _called_at(words: list[_Word], name: tuple[str, ...]) -> int | None:
    """Return where in a sentence a name is called, None where it is not, or is only spoken of."""
    for at in range(len(words) - len(name) + 1):
        if tuple(word.word for word in words[at : at + len(name)]) == name and _is_call(words, at, at + len(name)):
            return at
    return None


def _is_call(words: list[_Word], start: int, end: int) -> bool:
    before, after = words[:start], words[end:]
    set_off_behind = words[end - 1].after.lstrip()[:1] in (",", ":", "-", "\u2013", "\u2014", "!", "?")
    if all(word.word in _LEAD_INS for word in before):
        greeted = bool(before) and before[-1].word in _GREETINGS
        everyday = " ".join(word.word for word in words[start:end]) in _EVERYDAY
        return greeted or set_off_behind or not (everyday or _is_spoken_of(words, after))
    if "," in words[start].before:
        return not after or set_off_behind
    return not after and before[0].word in _OPENERS and before[-1].word not in _SPOKEN_OF


def _is_spoken_of(words: list[_Word], after: list[_Word]) -> bool:
    """Tell whether the sentence goes on about who it names: "Ann is late", but not "Ann can you hear me"."""
    if not after or "?" in words[-1].after:
        return False
    return after[0].word in _VERBS and (len(after) < 2 or after[1].word not in _PRONOUNS)


def _follows_up(speaker: str, company: Company, now_s: float, settings: AddressSettings) -> bool:
    if company.answered != speaker or company.answered_at_s is None:
        return False
    return now_s - company.answered_at_s <= settings.follow_up_s
