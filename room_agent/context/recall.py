"""Orders the memory's entries for a question, in several forms from complete to brief."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from room_agent.context.compaction import MINUTE_S, firsts
from room_agent.context.screen_entry import ScreenEntry, brief, by_span
from room_agent.text.normalize import both_ends

READ_CHARS = 2_000
MOMENT_S = 10.0
MOST_EARLY = 12
"""The number of oldest entries that come first in the answer to a question about the beginning."""
MOST_FIRSTS = 8

_EARLY = re.compile(
    r"(?<!\w)(?:first|second(?! ago)|third|fourth|fifth|beginning|begin|began|start|started|opening|initially|"
    r"originally|earliest|early on|erste[nrs]?|anfangs?|premiers?|première|début|primer[ao]?|principio|inicio)(?!\w)"
)
_NAME = re.compile(r"\w{2,}")


def recall_forms(entries: list[ScreenEntry], fresh: list[ScreenEntry], question: str) -> Iterator[list[ScreenEntry]]:
    """Yield the entries in recall order, first complete and then in shorter and shorter forms.

    Currently shown entries come first, then the oldest ones if the question is about the beginning. Then come the
    tracks of people named in the question, the newest pictures, and the rest from new to old.
    """
    query = both_ends(question, READ_CHARS).casefold()
    named = _named(entries, query)
    ended = [shown for shown in entries if shown.until_s is not None]
    early = _oldest([shown for shown in ended if shown.label in named] or ended) if _EARLY.search(query) else []
    head = _once([*_now(entries, fresh), *early])
    before = _without((shown for shown in fresh if shown.until_s is not None), head)
    for form in _forms(before, _without(ended, [*head, *before])):
        yield [*head, *sorted(form, key=lambda shown: shown.label not in named)]


def _forms(before: list[ScreenEntry], rest: list[ScreenEntry]) -> Iterator[list[ScreenEntry]]:
    yield [*before, *_backward(rest)]
    # Not everything fits; the beginning of each track is kept all the same.
    some = [*before, *firsts(rest)[:MOST_FIRSTS]]
    others = _without(rest, some)
    yield [*some, *_backward(by_span(others, lambda _: True, MOMENT_S))]
    minutes = _backward(by_span(others, lambda _: True, MINUTE_S))
    yield [*some, *minutes]
    yield [*some, *map(brief, minutes)]


def _named(entries: Iterable[ScreenEntry], query: str) -> set[str]:
    """Return the labels of the tracks that a named person shares."""
    words = set(_NAME.findall(query))
    labels = {shown.label for shown in entries}
    return {label for label in labels if not words.isdisjoint(_NAME.findall(label.partition(" of ")[2].casefold()))}


def _now(entries: list[ScreenEntry], fresh: list[ScreenEntry]) -> list[ScreenEntry]:
    return [shown for shown in _once([*fresh, *_backward(entries)]) if shown.until_s is None]


def _oldest(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    oldest = _once([*entries[:MOST_EARLY], *firsts(entries)[:MOST_FIRSTS]])
    return sorted(oldest, key=lambda shown: shown.from_s)


def _backward(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    return sorted(entries, key=lambda shown: -shown.from_s)


def _once(entries: Iterable[ScreenEntry]) -> list[ScreenEntry]:
    # By identity: two tracks may show the same at the same time.
    return list({id(shown): shown for shown in entries}.values())


def _without(entries: Iterable[ScreenEntry], others: Iterable[ScreenEntry]) -> list[ScreenEntry]:
    excluded = {id(shown) for shown in others}
    return [shown for shown in _once(entries) if id(shown) not in excluded]
