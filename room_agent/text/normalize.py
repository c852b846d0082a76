"""Tells whether two wordings ask for the same, so that what was looked up for one serves the other. English.

Tells too where in a long text to look for what is asked, and shortens it to that.
"""

from __future__ import annotations

import re

from room_agent.text.quoting import CUT, LONGEST_WORD_CHARS

_LEFT_OUT = f" {CUT} "
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# Words that change what is found for a question by nothing, however they are heard. "Not", "without", "from" and "to"
# are none of them.
_LIGHT = frozenset(
    "um uh er erm ah hm hmm mm please thanks thank ok okay hey hi hello so well just actually "
    "a an the of is are was were be been am do does did i you we it me my our your us get gets got have has had "
    "can could would will should".split()
)


def says_the_same(heard: str, whole: str) -> bool:
    """Tell whether a text that was heard so far asks for what the whole question asks for.

    Its words are the same in the same order, but for letter case, signs and light words; without any other word, all.
    """
    first, second = _words(heard), _words(whole)
    return (_weighty(first) or first) == (_weighty(second) or second)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def _weighty(words: list[str]) -> list[str]:
    return [word for word in words if word not in _LIGHT]


def both_ends(text: str, most_chars: int) -> str:
    """Return a text's beginning and end: what is asked stands before or after what is pasted."""
    half = most_chars // 2
    return text if len(text) <= most_chars else f"{text[:half]}\n{text[-half:]}"


def ends_within(text: str, most_bytes: int) -> str:
    """Return a line's beginning and end within so many bytes, cut between words: half a number is a wrong one."""
    whole = text.encode()
    if len(whole) <= most_bytes:
        return text
    half = most_bytes // 2 - len(_LEFT_OUT)
    head, tail = whole[:half].decode("utf-8", "ignore"), whole[-half:].decode("utf-8", "ignore")
    first, _, rest = head.rpartition(" ")
    cut, _, last = tail.partition(" ")
    head = first if first and len(rest) < LONGEST_WORD_CHARS else head
    tail = last if last and len(cut) < LONGEST_WORD_CHARS else tail
    return f"{head}{_LEFT_OUT}{tail}"
