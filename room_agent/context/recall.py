"""Orders the memory's entries for a question, in several forms from complete to brief."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from room_agent.context.compaction import MINUTE_S, firsts
from room_agent.context.screen_entry import ScreenEntry, brief, by_span
from room_agent.text.normalize import both_ends

READ_CHARS = 2_000
MOMENT_S = 10.0
MAX_EARLY = 12
"""The number of oldest entries that come first in the answer to a question about the beginning."""
MAX_FIRSTS = 8

_EARLY = re.compile(
    r"(?<!\w)(?:first|second(?! ago)|third|fourth|fifth|beginning|begin|began|start|started|opening|initially|"
    r"originally|earliest|early on|erste[nrs]?|anfangs?|premiers?|première|début|primer[ao]?|principio|inicio)(?!\w)"
)
_NAME = re.compile(r"\w{2,}")


def recall_forms(entries: list[ScreenEntry], recent: list[ScreenEntry], question: str) -> Iterator[list[ScreenEntry]]:
    """Yield the entries in recall order, first complete and then in shorter and shorter forms.

    Currently shown entries come first, then the oldest ones if the question is about the beginning. Then come the
    tracks of people named in the question, the newest pictures, and the rest from new to old.
    """
    query = both_ends(question, READ_CHARS).casefold()
    named = _labels_of_named(entries, query)
    ended = [entry for entry in entries if entry.until_s is not None]
    early = _oldest([entry for entry in ended if entry.label in named] or ended) if _EARLY.search(query) else []
    head = _unique([*_current(entries, recent), *early])
    before = _without((entry for entry in recent if entry.until_s is not None), head)
    for form in _forms(before, _without(ended, [*head, *before])):
        yield [*head, *sorted(form, key=lambda entry: entry.label not in named)]


def _forms(before: list[ScreenEntry], rest: list[ScreenEntry]) -> Iterator[list[ScreenEntry]]:
    yield [*before, *_newest_first(rest)]
    # Not everything fits; the beginning of each track is kept all the same.
    priority = [*before, *firsts(rest)[:MAX_FIRSTS]]
    others = _without(rest, priority)
    yield [*priority, *_newest_first(by_span(others, lambda _: True, MOMENT_S))]
    minutes = _newest_first(by_span(others, lambda _: True, MINUTE_S))
    yield [*priority, *minutes]
    yield [*priority, *map(brief, minutes)]


def _labels_of_named(entries: Iterable[ScreenEntry], query: str) -> set[str]:
    """Return the labels of the tracks that a named person shares."""
    words = set(_NAME.findall(query))
    labels = {entry.label for entry in entries}
    return {label for label in labels if not words.isdisjoint(_NAME.findall(label.partition(" of ")[2].casefold()))}


def _current(entries: list[ScreenEntry], recent: list[ScreenEntry]) -> list[ScreenEntry]:
    return [entry for entry in _unique([*recent, *_newest_first(entries)]) if entry.until_s is None]


def _oldest(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    oldest = _unique([*entries[:MAX_EARLY], *firsts(entries)[:MAX_FIRSTS]])
    return sorted(oldest, key=lambda entry: entry.from_s)


def _newest_first(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    return sorted(entries, key=lambda entry: -entry.from_s)


def _unique(entries: Iterable[ScreenEntry]) -> list[ScreenEntry]:
    # By identity: two tracks may show the same at the same time.
    return list({id(entry): entry for entry in entries}.values())


def _without(entries: Iterable[ScreenEntry], others: Iterable[ScreenEntry]) -> list[ScreenEntry]:
    excluded = {id(entry) for entry in others}
    return [entry for entry in _unique(entries) if id(entry) not in excluded]
