"""Normalises text for comparison, compares the wording of questions (English), and shortens long texts."""

from __future__ import annotations

import re
import unicodedata

from room_agent.text.quoting import CUT, LONGEST_WORD_CHARS

_LEFT_OUT = f" {CUT} "
READ_CHARS = 2_000
"""The part of a text from each participant that rules examine; see `both_ends`."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# NFKD does not decompose these letters.
_SPELLED = str.maketrans(
    {"\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u0131": "i", "\u00e6": "ae", "\u0153": "oe", "\u2019": "'"}
)
# Words that do not change the result of a search. "Not", "without", "from" and "to" do change it.
_STOP_WORDS = frozenset(
    "um uh er erm ah hm hmm mm please thanks thank ok okay hey hi hello so well just actually "
    "a an the of is are was were be been am do does did i you we it me my our your us get gets got have has had "
    "can could would will should".split()
)


def folded(text: str) -> str:
    """Return a text in lower case with compatibility forms as plain characters, and apostrophes as "'".

    Chat clients send full-width letters, which NFKC maps to ASCII. One character may become eighteen.
    """
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def without_accents(text: str) -> str:
    """Return a text in lower case and without accents: "Jose" for "José"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).translate(_SPELLED)


def words_in(text: str) -> list[str]:
    """Return the words of a folded text; an apostrophe inside a word belongs to it."""
    return _WORD.findall(text)


def says_the_same(partial: str, question: str) -> bool:
    """Return whether a partial transcript asks the same as the whole question.

    Both have the same words in the same order, without stop words. Texts of stop words alone are compared whole.
    """
    first, second = words_in(folded(partial)), words_in(folded(question))
    return (_without_stop_words(first) or first) == (_without_stop_words(second) or second)


def _without_stop_words(words: list[str]) -> list[str]:
    return [word for word in words if word not in _STOP_WORDS]


def both_ends(text: str, max_chars: int) -> str:
    """Return a text's beginning and end, cut to `max_chars`: a question stands before or after pasted text."""
    half = max_chars // 2
    return text if len(text) <= max_chars else f"{text[:half]}\n{text[-half:]}"


def ends_within(text: str, max_bytes: int) -> str:
    """Return a line's beginning and end within `max_bytes`, cut between words: half a number is a wrong number."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    half = max_bytes // 2 - len(_LEFT_OUT)
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    first, _, rest = head.rpartition(" ")
    cut, _, last = tail.partition(" ")
    head = first if first and len(rest) < LONGEST_WORD_CHARS else head
    tail = last if last and len(cut) < LONGEST_WORD_CHARS else tail
    return f"{head}{_LEFT_OUT}{tail}"
