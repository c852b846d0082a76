"""Decides whether an utterance addresses the agent. English.

The first rule that holds decides:

1. It is only "mm" and "uh-huh": nobody is addressed.
2. A participant is called by name, the agent or another, even one who has just left: the last one called is addressed.
   A call is a name at the start ("Rayroom, ...", "hey Rayroom ..."), after a comma ("how is it, Rayroom?"), at the end
   of a question, or "@Rayroom". The agent's name with a mark behind it is a call too ("good day to you Rayroom, ...").
   A name that is only mentioned ("we should ask Rayroom", "Rayroom was wrong") is no call. The agent's name with
   nothing but a request to stop ("stop Rayroom") is one.
3. Nobody else is in the room: the agent is addressed.
4. The agent has just answered this speaker, or their question still waits, and they say more than "okay, thank you":
   the agent is addressed.
5. Otherwise the participants talk to each other.

STT often leaves commas out, so a name at the start is a call even without one, unless the sentence is about it ("Bob
needs it"). The agent's call in the same sentence then has priority, and so has one with a comma in an earlier sentence
("Rayroom, is it done? Bob may know"). A participant's name that is an everyday word ("Will", "May") is a call only with
a comma or a greeting. A name of nothing but grammar ("Can you", "It") calls nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from room_agent.core.models import Person
from room_agent.intent.stop_words import acknowledges, asks_agent_to_stop
from room_agent.text.normalize import READ_CHARS, both_ends, folded

READ_PEOPLE = 64
READ_NAME_CHARS = 256

_WORD = re.compile(r"(?P<before>[^\w']*)(?P<word>[\w']+)(?=(?P<after>[^\w']*))")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|[\r\n\x85\u2028\u2029]+")
FILLERS = frozenset("mm mmm mhm mmhmm hm hmm uh um uhm er ah oh huh".split())
_GREETINGS = frozenset("hey hi hello ok okay yo dear thanks morning afternoon evening".split())
_OPENING_WORDS = frozenset("so well and but now right alright please yes yeah no thank you good sorry".split())
_LEAD_INS = _GREETINGS | FILLERS | _OPENING_WORDS
_LEAD_IN = re.compile(
    rf"(?:(?:excuse me|pardon me|hold on|hang on|(?:quick|one) question|{'|'.join(sorted(_LEAD_INS))})(?: |$))*"
)
_LEAD_OUTS = frozenset("please thanks".split())
_WHAT_WORDS = frozenset("what whats how hows".split())
_OPENERS = _WHAT_WORDS | frozenset(
    "who whos whom whose where wheres when whens which why is are was were do does did can could will would should has "
    "have may show tell explain read describe summarize summarise repeat look say give help find please go "
    "continue".split()
)
_MENTION_WORDS = frozenset(
    "ask asked asking asks tell told telling tells call called calling calls with by of use used using uses about to "
    "from for like likes liked than and or nor not is was are were named the a an my our your their his her its this "
    "that on in at via let without after until into over love loves loved hate hates hated trust trusted tried buy "
    "bought mean means meant mention mentioned said says thinks gave give send sent invite invited add added neither "
    "either both only just even new assistant unlike introduce meet mute muted unmute remove keep try tested "
    "installed".split()
)
_WANTED = frozenset("have had got need want hear heard seen find found build built believe".split())
"""Like those, except in "what do you have Rayroom", where the name is not the object."""
_BEFORE_ADDRESSEE = frozenset("you question".split())
"""Words before an addressee at the end: "I have a question for you Rayroom"."""
_VERBS = frozenset(
    "is was has had says said does did will would can could should might may must isn't wasn't hasn't doesn't didn't "
    "won't can't couldn't wouldn't shouldn't thinks thought knows knew told gave and or".split()
)
_ADVERBS = frozenset(
    "always never just already really also still probably apparently obviously actually finally sometimes often".split()
)
_SUBJECT_VERBS = re.compile(
    r"(?!(?:does|yours|hers|ours|theirs|thanks|unmarked|besides|news|series|sales|slides|numbers|figures|results|details|"
    r"minutes|notes|questions|embed)$)"
    r"(?:\w{2,}(?:[^\Wsui]s|[^\We]ed)|agreed|said|thought|knew|told|gave|went|made|took|lost|left|misheard|heard|kept|"
    r"came|felt|found|saw|broke|built|ran|began|sent|meant|forgot|spoke|wrote)"
)
"""Verbs that make the name a subject and not an addressee: "Bob needs it", "Rayroom went quiet"."""
_PRONOUNS = frozenset("you it this that there these those we i they he she".split())
EVERYDAY_WORDS = frozenset(
    "will may mark art grant bill rich sue june april august hope faith joy grace rose dawn pat drew chase max frank "
    "mike guest user host admin speaker room screen one everyone someone nobody".split()
)
GRAMMAR_WORDS = (_LEAD_INS | _OPENERS | _MENTION_WORDS | _VERBS | _PRONOUNS | {"got", "me", "us", "them"}) - {
    "will",
    "may",
}
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
    """The position of a called name in its sentence; `marked` if a comma or a greeting confirms the call."""

    position: int
    marked: bool


Name = tuple[str, ...]


def sentences(text: str) -> list[list[SpokenWord]]:
    """Return the words of each sentence or line."""
    # Cut again: folding may lengthen a text.
    plain = folded(both_ends(text, READ_CHARS))[: 2 * READ_CHARS]
    return [found for part in _SENTENCE_END.split(plain) if (found := words(part))]


def words(text: str) -> list[SpokenWord]:
    """Return the words of one sentence with the marks around them."""
    found = _WORD.finditer(folded(text))
    return [SpokenWord(match["word"].strip("'"), match["before"], match["after"]) for match in found]


def is_callable(name: Name) -> bool:
    """Return whether a name can be called. Names of grammar alone, such as "What is" or "Can you", cannot."""
    return len("".join(name)) > 1 and not all(map(_is_grammar, name))


def find_call(sentence: list[SpokenWord], name: Name, is_agent: bool) -> NameCall | None:
    """Return the call of a name in a sentence, or None where it is absent or only mentioned.

    In mid-sentence a mark behind the agent's name makes a call (`is_agent`); other names are mostly mentioned there.
    """
    for position in range(len(sentence) - len(name) + 1):
        end = position + len(name)
        if tuple(word.word for word in sentence[position:end]) == name and not _is_mail(sentence, position):
            opens = _leads_in(sentence[:position])
            if _is_tagged(sentence, position) or (_is_opening if opens else _is_call)(
                sentence, position, end, is_agent
            ):
                marked = not opens or _is_marked(sentence, position, end) or (is_agent and len(sentence) == len(name))
                return NameCall(position, marked and (is_agent or not _is_grammar(name[0])))
    return None


def _is_grammar(word: str) -> bool:
    return word in GRAMMAR_WORDS or word.split("'")[0] in GRAMMAR_WORDS


def _leads_in(before: list[SpokenWord]) -> bool:
    return _LEAD_IN.fullmatch(" ".join(word.word for word in before)) is not None


def _is_opening(sentence: list[SpokenWord], start: int, end: int, is_agent: bool) -> bool:
    """Return whether a name at the start is a call; an everyday word needs a mark or a greeting."""
    name = [word.word for word in sentence[start:end]]
    if " ".join(name) in EVERYDAY_WORDS:
        return _is_marked(sentence, start, end)
    if not is_agent and _is_grammar(name[0]):
        return _is_set_off(sentence[end - 1])
    if _is_set_off(sentence[end - 1]):
        return True
    return not _is_subject(sentence, end) and (_is_marked(sentence, start, end) or not _may_be_subject(sentence, end))


def _is_call(sentence: list[SpokenWord], start: int, end: int, is_agent: bool) -> bool:
    before, last = sentence[:start], sentence[end - 1]
    ends = all(word.word in _LEAD_OUTS for word in sentence[end:])
    if "," in sentence[start].before:
        return ends or _is_set_off(last)
    if is_agent and _is_set_off(last, _MARKS) and (":" in sentence[start].before or not _mentions(before)):
        return True
    asks = _opener(before) in _OPENERS and not _mentions(before)
    return ends and (asks or before[-1].word in _BEFORE_ADDRESSEE)


def _opener(before: list[SpokenWord]) -> str:
    """Return the first word that is more than a greeting: "what" of "okay, what's the total"."""
    return next((word.word.split("'")[0] for word in before if word.word not in _LEAD_INS), "")


def _mentions(before: list[SpokenWord]) -> bool:
    """Return whether the name after these words is only mentioned: "ask Rayroom", "that's Rayroom"."""
    last = before[-1].word
    if last in ("this", "that", "it"):
        # "Is that Rayroom?" asks about it; "can you read that Rayroom?" asks it.
        return len(before) == 1 or (len(before) == 2 and before[0].word in ("is", "was"))
    if last in _WANTED:
        return _opener(before) not in _WHAT_WORDS
    return last in _MENTION_WORDS or last.endswith(("'s", "'re"))


def _is_mail(sentence: list[SpokenWord], start: int) -> bool:
    """Return whether a name is a part of an address such as "info@rayroom"."""
    return start > 0 and sentence[start].before == "@"


def _is_tagged(sentence: list[SpokenWord], start: int) -> bool:
    return sentence[start].before.endswith("@")


def _is_marked(sentence: list[SpokenWord], start: int, end: int) -> bool:
    greeted = start > 0 and sentence[start - 1].word in _GREETINGS
    return greeted or _is_set_off(sentence[end - 1]) or _is_tagged(sentence, start)


def _is_set_off(last: SpokenWord, marks: tuple[str, ...] = (*_MARKS, *_DASHES)) -> bool:
    return last.after.lstrip()[:1] in marks


def _may_be_subject(sentence: list[SpokenWord], end: int) -> bool:
    """Return whether the name is likely the subject: "Ann is late", but not "Ann can you hear me"."""
    after = _without_adverbs(sentence, end)
    if not after or "?" in sentence[-1].after:
        return False
    return after[0] == "got" or (after[0] in _VERBS and (len(after) < 2 or after[1] not in _PRONOUNS))


def _is_subject(sentence: list[SpokenWord], end: int) -> bool:
    """Return whether the name is certainly the subject: "Ann needs it, is that so?"."""
    after = _without_adverbs(sentence, end)
    if not after or after[-1] == "please":
        return False
    return _SUBJECT_VERBS.fullmatch(after[0]) is not None or after[:2] == ["and", "i"]


def _without_adverbs(sentence: list[SpokenWord], end: int) -> list[str]:
    return list(dropwhile(_ADVERBS.__contains__, (word.word for word in sentence[end:])))


AddressRule = Literal[
    "said nothing", "called by name", "another is called", "nobody else is here", "follow-up", "talk among people"
]


FOLLOW_UP_S = 15.0
"""The time after an answer in which a follow-up needs no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddresseeContext:
    """The participants, with the speaker, and the identity that the agent answered last, until `answered_at_s`.

    Participants in `former` left a moment ago and may still be called. `waits_since_s` is the time of the speaker's
    question that still waits, if any.
    """

    people: Sequence[Person]
    former: Sequence[Person] = ()
    answered: str | None = None
    answered_at_s: float | None = None
    waits_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whether the agent is addressed, and the rule that decided it."""

    to_agent: bool
    rule: AddressRule


def find_addressee(
    text: str, speaker: str, context: AddresseeContext, now_s: float, own_names: tuple[str, ...]
) -> Addressee:
    """Return whether a text of the participant with the identity `speaker` is for the agent.

    `own_names` are the agent's, as STT may write them.
    """
    utterance = sentences(text)
    if all(word.word in FILLERS for sentence in utterance for word in sentence):
        return Addressee(False, "said nothing")
    if asks_agent_to_stop(text, own_names):
        return Addressee(True, "called by name")
    called = _last_called(utterance, own_names, _without(speaker, [*context.people, *context.former]))
    if called is not None:
        return Addressee(called == "agent", "called by name" if called == "agent" else "another is called")
    if not _without(speaker, context.people):
        return Addressee(True, "nobody else is here")
    if _follows_up(speaker, context, now_s) and not acknowledges(text):
        return Addressee(True, "follow-up")
    return Addressee(False, "talk among people")


def _without(speaker: str, people: Sequence[Person]) -> list[Person]:
    return [person for person in people if person.identity != speaker]


def _last_called(
    utterance: list[list[SpokenWord]], own_names: tuple[str, ...], others: Sequence[Person]
) -> Literal["agent", "another"] | None:
    agent_names = {_name_words(name) for name in own_names} - {()}
    other_names = {name for person in others[:READ_PEOPLE] for name in _callable_names(person.name)} - agent_names
    unmarked: Literal["another"] | None = None
    for sentence in reversed(utterance):
        agent, another = (
            _first_call(sentence, agent_names, is_agent=True),
            _first_call(sentence, other_names, is_agent=False),
        )
        if agent is not None and (another is None or not another.marked or agent.position <= another.position):
            return "agent" if unmarked is None or agent.marked else unmarked
        if another is not None and another.marked:
            return "another"
        unmarked = "another" if another is not None else unmarked
    return unmarked


def _first_call(sentence: list[SpokenWord], names: set[Name], is_agent: bool) -> NameCall | None:
    """Return the first call of any of the names; of calls at one position the marked one.

    The first is enough: two calls in a sentence, as in "Rayroom, what did Ann say, Bob?", are rare.
    """
    calls = [call for name in names if (call := find_call(sentence, name, is_agent)) is not None]
    return min(calls, key=lambda call: (call.position, not call.marked), default=None)


def _name_words(text: str) -> Name:
    return tuple(word.word for word in words(text[:READ_NAME_CHARS]))


def _callable_names(name: str) -> list[Name]:
    """Return the names that call a participant: the whole name, and its first word."""
    whole = _name_words(name)
    return [called for called in {whole, whole[:1]} if is_callable(called)]


def _follows_up(speaker: str, context: AddresseeContext, now_s: float) -> bool:
    answered_at_s = context.answered_at_s if context.answered == speaker else None
    since_s = [at_s for at_s in (answered_at_s, context.waits_since_s) if at_s is not None]
    return any(now_s - at_s <= FOLLOW_UP_S for at_s in since_s)
