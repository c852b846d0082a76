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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from room_agent.intent.calling import FILLERS, Name, NameCall, SpokenWord, find_call, is_callable, sentences, words
from room_agent.intent.stop_words import acknowledges, asks_us_to_stop

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


@dataclass(frozen=True, slots=True)
class Person:
    """A human in the room."""

    identity: str
    name: str


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
