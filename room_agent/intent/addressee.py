"""Decides whether an utterance is for the agent, by names, marks and times: no rule depends on a language.

A call is the first word, or is set off by marks: "Rayroom, ...", "hey Rayroom, ...", "..., Rayroom?". An unsure
utterance (seconds after an answer, the name elsewhere) is left to the cheap model, which may answer with silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from room_agent.core.models import Person
from room_agent.text.normalize import READ_CHARS, both_ends, folded, without_accents

FOLLOW_UP_S, SURE_S = 15.0, 6.0
"""The time after an answer in which a follow-up needs no name, and in which a question surely is one."""
NAME_WORDS, MIN_NAME_CHARS, MIN_MISHEARD_CHARS, READ_PEOPLE = 4, 2, 6, 64
"""STT writes a name in as many parts at most. It gets one letter of a long name wrong now and then."""
_WORD = re.compile(r"[\w']+")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|[\r\n\x85\u2028\u2029]+")
_MARK = re.compile(r"[,:;.!\u2026]")
_SET_OFF = re.compile(r"\s*(?:[,:;.!?\u2026]+(?!\w)|[\u2013\u2014\u3001\u3002])|\s-\s")

Address = Literal["addressed", "not addressed", "unsure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddresseeContext:
    """The participants, with the speaker, and the identity that the agent answered last, until `answered_at_s`.

    `former` ones left a moment ago and may be called. `waits_since_s` is when the speaker's question came, as long as
    its answer has not begun.
    """

    people: Sequence[Person]
    former: Sequence[Person] = ()
    answered: str | None = None
    answered_at_s: float | None = None
    waits_since_s: float | None = None

    def is_alone(self, speaker: str) -> bool:
        """Return whether nobody but the agent can be meant; the speaker may still talk to themselves, or on a phone."""
        return all(one.identity == speaker for one in self.people)


def find_addressee(text: str, speaker: str, context: AddresseeContext, now_s: float, names: Sequence[str]) -> Address:
    """Return whether a text of the participant `speaker` is for the agent, whom people call by one of `names`."""
    plain = folded(both_ends(text, READ_CHARS))[: 2 * READ_CHARS]
    sentences = [sentence for sentence in _SENTENCE_END.split(plain) if _WORD.search(sentence)]
    others = [one.name for one in [*context.people, *context.former][:READ_PEOPLE] if one.identity != speaker]
    own_names = _keys(names)
    their_names = _keys([name for other in others for name in (other, other.split(" ")[0])]) - own_names
    calls = [call for sentence in sentences for call in _calls(sentence, own_names)]
    theirs = [start for sentence in sentences for start, _ in _spans(list(_WORD.finditer(sentence)), their_names)]
    if "addressed" in calls:
        ends_with_another = any(start == 0 for start, _ in _spans(list(_WORD.finditer(sentences[-1])), their_names))
        return "unsure" if ends_with_another else "addressed"
    if not sentences:
        return "not addressed"
    asks, alone = "?" in plain, context.is_alone(speaker)
    if context.waits_since_s is not None and now_s - context.waits_since_s <= FOLLOW_UP_S:
        # The rest of the waiting question, unless it is a word such as "okay", or is said to somebody else.
        return "addressed" if not theirs and (asks or len(plain.split()) > 1) else "not addressed"
    since_s = now_s - context.answered_at_s if context.answered_at_s is not None else math.inf
    follows = context.answered == speaker
    if asks and not theirs and (alone or (follows and since_s <= SURE_S and not calls)):
        return "addressed"
    return "unsure" if calls or alone or since_s <= FOLLOW_UP_S else "not addressed"


def names_agent(text: str, names: Sequence[str]) -> bool:
    """Return whether a text holds one of the agent's names."""
    return any(_spans(list(_WORD.finditer(folded(both_ends(text, READ_CHARS)))), _keys(names)))


def _calls(sentence: str, names: Collection[str]) -> Iterator[Address]:
    """Yield the agent's names in a sentence: as first word, or set off near an end, they address it; else perhaps."""
    words = list(_WORD.finditer(sentence))
    for start, end in _spans(words, names, misheard=True):
        before = sentence[words[start - 1].end() if start else 0 : words[start].start()]
        if before == "@" and start:
            continue  # A part of a mail address.
        marked_before = bool(start and _SET_OFF.match(sentence, words[start - 1].end()))
        marked, behind = bool(_SET_OFF.match(sentence, words[end].end())), len(words) - 1 - end
        opens = marked and (marked_before if start == 2 else start == 1 and behind > 0)
        # With marks in it, a sentence that begins with a name and no comma is about somebody of that name too.
        first = start == 0 and (marked or not behind or sentence.endswith("?") or not _MARK.search(sentence))
        closes = marked_before and (not behind or (behind == 1 and marked))
        heard = "".join(_key(word[0]) for word in words[start : end + 1]) in names
        yield "addressed" if heard and (before.endswith("@") or first or opens or closes) else "unsure"


def _spans(words: Sequence[re.Match[str]], names: Collection[str], misheard: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the first and last word of each name, which may be in parts ("ray room") or `misheard` by one letter."""
    keys = [_key(word[0]) for word in words]
    for start in range(len(keys)):
        for end in range(start, min(start + NAME_WORDS, len(keys))):
            heard = "".join(keys[start : end + 1])
            if heard in names or (misheard and any(_differ(heard, name) for name in names)):
                yield start, end


def _differ(heard: str, name: str) -> bool:
    """Return whether two words differ by one letter: another, a missing or an additional one."""
    if len(name) < MIN_MISHEARD_CHARS or abs(len(heard) - len(name)) > 1:
        return False
    shorter = min(len(heard), len(name))
    same = next((at for at in range(shorter) if heard[at] != name[at]), shorter)
    return heard[same + (len(heard) >= len(name)) :] == name[same + (len(name) >= len(heard)) :]


def _keys(names: Sequence[str]) -> frozenset[str]:
    return frozenset(key for key in map(_key, names) if len(key) >= MIN_NAME_CHARS)


def _key(name: str) -> str:
    return "".join(char for char in without_accents(name[:READ_CHARS]) if char.isalnum())
