"""Tells whether an utterance addresses the agent. English; plain values in, a verdict with its reason out.

The rules, the first that holds decides:

1. It says nothing but "mm" and "uh-huh": nobody is addressed.
2. Somebody is called by name, the agent or another participant, though they have just left: that one is addressed, the
   last one called if several. A call is a name at the start ("Rayroom, ...", "hey Rayroom ..."), after a comma ("what
   is it, Rayroom?"), at the end of a question, or "@Rayroom"; the agent's with a mark behind it, too ("good day to you
   Rayroom, ..."). A name that is only spoken of ("we should ask Rayroom", "Rayroom was wrong") is no call. Nothing but
   the agent's name and a wish for quiet ("stop Rayroom") is one.
3. Nobody else is in the room: the agent is addressed.
4. The agent has just answered this speaker, or they asked it a moment ago and wait for others' answers, and they say
   more than "okay, thank you": the agent is addressed.
5. Otherwise people talk to each other.

Speech recognition often leaves commas out, so a name at the start is a call even without one, unless it is told of
("Bob needs it"). The agent's call in the same sentence counts for more then, and so does one with a comma in a sentence
before ("Rayroom, what is it? Bob may know"). Where a participant's name is an everyday word ("Will", "May"), it is a
call only with a comma or a greeting; a name of nothing but grammar ("Can you", "It") calls nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from room_agent.core.models import Person
from room_agent.intent.stop_words import acknowledges, asks_us_to_stop
from room_agent.text.normalize import both_ends

READ_CHARS = 2_000

_WORD = re.compile(r"(?P<before>[^\w']*)(?P<word>[\w']+)(?=(?P<after>[^\w']*))")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|[\r\n\x85\u2028\u2029]+")
FILLERS = frozenset("mm mmm mhm mmhmm hm hmm uh um uhm er ah oh huh".split())
_GREETINGS = frozenset("hey hi hello ok okay yo dear thanks morning afternoon evening".split())
_LED = frozenset("so well and but now right alright please yes yeah no thank you good sorry".split())
_LEAD_INS = _GREETINGS | FILLERS | _LED
_LED_IN = re.compile(
    rf"(?:(?:excuse me|pardon me|hold on|hang on|(?:quick|one) question|{'|'.join(sorted(_LEAD_INS))})(?: |$))*"
)
_LEAD_OUTS = frozenset("please thanks".split())
_WHAT = frozenset("what whats how hows".split())
_OPENERS = _WHAT | frozenset(
    "who whos whom whose where wheres when whens which why is are was were do does did can could will would should has "
    "have may show tell explain read describe summarize summarise repeat look say give help find please go "
    "continue".split()
)
_SPOKEN_OF = frozenset(
    "ask asked asking asks tell told telling tells call called calling calls with by of use used using uses about to "
    "from for like likes liked than and or nor not is was are were named the a an my our your their his her its this "
    "that on in at via let without after until into over love loves loved hate hates hated trust trusted tried buy "
    "bought mean means meant mention mentioned said says thinks gave give send sent invite invited add added neither "
    "either both only just even new assistant unlike introduce meet mute muted unmute remove keep try tested "
    "installed".split()
)
_WHAT_IS_ASKED_FOR = frozenset("have had got need want hear heard seen find found build built believe".split())
"""As those, but for "what do you have Rayroom": there the name is not what somebody has."""
_ASKED = frozenset("you question".split())
"""What comes before who is asked: "I have a question for you Rayroom"."""
_VERBS = frozenset(
    "is was has had says said does did will would can could should might may must isn't wasn't hasn't doesn't didn't "
    "won't can't couldn't wouldn't shouldn't thinks thought knows knew told gave and or".split()
)
_ADVERBS = frozenset(
    "always never just already really also still probably apparently obviously actually finally sometimes often".split()
)
_TELLS = re.compile(
    r"(?!(?:does|yours|hers|ours|theirs|thanks|perhaps|besides|news|series|sales|slides|numbers|figures|results|details|"
    r"minutes|notes|questions|embed)$)"
    r"(?:\w{2,}(?:[^\Wsui]s|[^\We]ed)|agreed|said|thought|knew|told|gave|went|made|took|lost|left|misheard|heard|kept|"
    r"came|felt|found|saw|broke|built|ran|began|sent|meant|forgot|spoke|wrote)"
)
"""What goes on about who was named: "Bob needs it", "Rayroom went quiet". Nobody is asked or told so."""
_PRONOUNS = frozenset("you it this that there these those we i they he she".split())
EVERYDAY = frozenset(
    "will may mark art grant bill rich sue june april august hope faith joy grace rose dawn pat drew chase max frank "
    "mike guest user host admin speaker room screen one everyone someone nobody".split()
)
GRAMMAR = (_LEAD_INS | _OPENERS | _SPOKEN_OF | _VERBS | _PRONOUNS | {"got", "me", "us", "them"}) - {"will", "may"}
_MARKS = (",", ":", "!", "?")
_DASHES = ("-", "\u2013", "\u2014")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word in lower case, and the marks around it."""

    word: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, order=True)
class NameCall:
    """Where in a sentence a name is called, and whether more than its place says so: a comma, a greeting."""

    at: int
    marked: bool


Name = tuple[str, ...]


def sentences(text: str) -> list[list[SpokenWord]]:
    """Return the words of each sentence or line."""
    # Compatibility forms are letters too: chat clients send full-width ones. One character may become eighteen.
    plain = unicodedata.normalize("NFKC", both_ends(text, READ_CHARS))[: 2 * READ_CHARS]
    return [found for part in _SENTENCE_END.split(plain) if (found := words(part))]


def words(text: str) -> list[SpokenWord]:
    found = _WORD.finditer(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))
    return [SpokenWord(match["word"].strip("'"), match["before"], match["after"]) for match in found]


def is_callable(name: Name) -> bool:
    """Tell whether anybody can be called by a name: "What is" or "Can you" is none, whoever bears it."""
    return len("".join(name)) > 1 and not all(map(_is_grammar, name))


def find_call(sentence: list[SpokenWord], name: Name, ours: bool) -> NameCall | None:
    """Return where in a sentence a name is called, None where it is not, or is only spoken of.

    A name of `ours` is called by a mark behind it in the middle of a sentence too; others are rather spoken of there.
    """
    for at in range(len(sentence) - len(name) + 1):
        end = at + len(name)
        if tuple(word.word for word in sentence[at:end]) == name and not _is_mail(sentence, at):
            opens = _leads_in(sentence[:at])
            if _is_tagged(sentence, at) or (_is_opening if opens else _is_call)(sentence, at, end, ours):
                marked = not opens or _is_marked(sentence, at, end) or (ours and len(sentence) == len(name))
                return NameCall(at, marked and (ours or not _is_grammar(name[0])))
    return None


def _is_grammar(word: str) -> bool:
    return word in GRAMMAR or word.split("'")[0] in GRAMMAR


def _leads_in(before: list[SpokenWord]) -> bool:
    return _LED_IN.fullmatch(" ".join(word.word for word in before)) is not None


def _is_opening(sentence: list[SpokenWord], start: int, end: int, ours: bool) -> bool:
    """Tell whether a name at the start is a call; an everyday word is one where something sets it off."""
    name = [word.word for word in sentence[start:end]]
    if " ".join(name) in EVERYDAY:
        return _is_marked(sentence, start, end)
    if not ours and _is_grammar(name[0]):
        return _is_set_off(sentence[end - 1])
    if _is_set_off(sentence[end - 1]):
        return True
    return not _tells_of(sentence, end) and (_is_marked(sentence, start, end) or not _is_spoken_of(sentence, end))


def _is_call(sentence: list[SpokenWord], start: int, end: int, ours: bool) -> bool:
    before, last = sentence[:start], sentence[end - 1]
    ends = all(word.word in _LEAD_OUTS for word in sentence[end:])
    if "," in sentence[start].before:
        return ends or _is_set_off(last)
    if ours and _is_set_off(last, _MARKS) and (":" in sentence[start].before or not _leads_to(before)):
        return True
    asks = _opener(before) in _OPENERS and not _leads_to(before)
    return ends and (asks or before[-1].word in _ASKED)


def _opener(before: list[SpokenWord]) -> str:
    """Return the first word that is more than a greeting: "what" of "okay, what's the total"."""
    return next((word.word.split("'")[0] for word in before if word.word not in _LEAD_INS), "")


def _leads_to(before: list[SpokenWord]) -> bool:
    """Tell whether the next word's name is only spoken of: "ask Rayroom", "that's Rayroom"."""
    last = before[-1].word
    if last in ("this", "that", "it"):
        # "Is that Rayroom?" asks about it; "can you read that Rayroom?" asks it.
        return len(before) == 1 or (len(before) == 2 and before[0].word in ("is", "was"))
    if last in _WHAT_IS_ASKED_FOR:
        return _opener(before) not in _WHAT
    return last in _SPOKEN_OF or last.endswith(("'s", "'re"))


def _is_mail(sentence: list[SpokenWord], start: int) -> bool:
    """Tell whether a name is a part of an address as "info@rayroom"."""
    return start > 0 and sentence[start].before == "@"


def _is_tagged(sentence: list[SpokenWord], start: int) -> bool:
    return sentence[start].before.endswith("@")


def _is_marked(sentence: list[SpokenWord], start: int, end: int) -> bool:
    greeted = start > 0 and sentence[start - 1].word in _GREETINGS
    return greeted or _is_set_off(sentence[end - 1]) or _is_tagged(sentence, start)


def _is_set_off(last: SpokenWord, marks: tuple[str, ...] = (*_MARKS, *_DASHES)) -> bool:
    return last.after.lstrip()[:1] in marks


def _is_spoken_of(sentence: list[SpokenWord], end: int) -> bool:
    """Tell whether the sentence goes on about who it names: "Ann is late", but not "Ann can you hear me"."""
    after = _without_adverbs(sentence, end)
    if not after or "?" in sentence[-1].after:
        return False
    return after[0] == "got" or (after[0] in _VERBS and (len(after) < 2 or after[1] not in _PRONOUNS))


def _tells_of(sentence: list[SpokenWord], end: int) -> bool:
    """Tell whether it does so beyond doubt: "Ann needs it, is that so?"."""
    after = _without_adverbs(sentence, end)
    if not after or after[-1] == "please":
        return False
    return _TELLS.fullmatch(after[0]) is not None or after[:2] == ["and", "i"]


def _without_adverbs(sentence: list[SpokenWord], end: int) -> list[str]:
    return list(dropwhile(_ADVERBS.__contains__, (word.word for word in sentence[end:])))


READ_PEOPLE = 64
READ_NAME_CHARS = 256

Why = Literal[
    "said nothing", "called by name", "another is called", "nobody else is here", "follow-up", "talk among people"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddresseeSettings:
    """What the agent is called, as recognition may write it, and how long its answer invites the next turn."""

    names: tuple[str, ...] = ("rayroom", "ray room")
    follow_up_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCompany:
    """Who is in the room, the speaker too, and whom the agent answered last; `answered_at_s` is its answer's end.

    Who has just `gone` is not here and may still be called. `waits_since_s` is when the speaker asked what has still to
    be answered, if they did.
    """

    people: Sequence[Person]
    gone: Sequence[Person] = ()
    answered: str | None = None
    answered_at_s: float | None = None
    waits_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whether the agent is addressed, and by which rule."""

    to_agent: bool
    why: Why


def address(
    text: str, speaker: str, company: RoomCompany, now_s: float, settings: AddresseeSettings | None = None
) -> Addressee:
    """Return whether `text`, said by the participant with the identity `speaker`, is for the agent."""
    settings = settings or AddresseeSettings()
    said = sentences(text)
    if all(word.word in FILLERS for sentence in said for word in sentence):
        return Addressee(False, "said nothing")
    if asks_us_to_stop(text, settings.names):
        return Addressee(True, "called by name")
    called = _last_called(said, settings, _without(speaker, [*company.people, *company.gone]))
    if called is not None:
        return Addressee(called == "agent", "called by name" if called == "agent" else "another is called")
    if not _without(speaker, company.people):
        return Addressee(True, "nobody else is here")
    if _follows_up(speaker, company, now_s, settings) and not acknowledges(text):
        return Addressee(True, "follow-up")
    return Addressee(False, "talk among people")


def _without(speaker: str, people: Sequence[Person]) -> list[Person]:
    return [person for person in people if person.identity != speaker]


def _last_called(
    said: list[list[SpokenWord]], settings: AddresseeSettings, others: Sequence[Person]
) -> Literal["agent", "another"] | None:
    ours = {_name(name) for name in settings.names} - {()}
    theirs = {name for person in others[:READ_PEOPLE] for name in _names_of(person.name)} - ours
    perhaps: Literal["another"] | None = None
    for sentence in reversed(said):
        agent, another = _first_call(sentence, ours, ours=True), _first_call(sentence, theirs, ours=False)
        if agent is not None and (another is None or not another.marked or agent.at <= another.at):
            return "agent" if perhaps is None or agent.marked else perhaps
        if another is not None and another.marked:
            return "another"
        perhaps = "another" if another is not None else perhaps
    return perhaps


def _first_call(sentence: list[SpokenWord], names: set[Name], ours: bool) -> NameCall | None:
    """Return the first call of any of the names: "Rayroom, what did Ann say, Bob?" hardly occurs.

    Of those at one place the marked one counts.
    """
    calls = [call for name in names if (call := find_call(sentence, name, ours)) is not None]
    return min(calls, key=lambda call: (call.at, not call.marked), default=None)


def _name(text: str) -> Name:
    return tuple(word.word for word in words(text[:READ_NAME_CHARS]))


def _names_of(name: str) -> list[Name]:
    """Return what a participant may be called: the whole name, or its first word."""
    whole = _name(name)
    return [called for called in {whole, whole[:1]} if is_callable(called)]


def _follows_up(speaker: str, company: RoomCompany, now_s: float, settings: AddresseeSettings) -> bool:
    answered_at_s = company.answered_at_s if company.answered == speaker else None
    since_s = [at_s for at_s in (answered_at_s, company.waits_since_s) if at_s is not None]
    return any(now_s - at_s <= settings.follow_up_s for at_s in since_s)
