"""Defines a screen entry, one picture of one track over time, and its shortened and merged forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from room_agent.text.quoting import one_line

MAX_SENTENCE_CHARS = 200
SENTENCES_A_MINUTE = 3
LEAST_NUMBERS_KEPT, LEAST_WORDS_KEPT = 0.5, 1 / 3
"""The share of a description's numbers and words that an edit keeps; a vision model rewords the same picture."""

_SENTENCE_END = re.compile("(?<=[.!?])\\s|(?<=[\u3002\uff01\uff1f])")
_SHORTEST_SENTENCE_CHARS = 24
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d]+")

Detail = Literal["whole", "sentence", "minute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenEntry:
    """The description of one track over a period; `until_s` is None while the picture is still shown.

    A picture that is edited keeps its number. `pictures` counts the pictures merged into this entry.
    """

    track: str
    label: str
    picture: int
    texts: tuple[str, ...]
    from_s: float
    until_s: float | None = None
    detail: Detail = "whole"
    pictures: int = 1

    @property
    def chars(self) -> int:
        return sum(map(len, self.texts))


def replaces(new: str, old: str) -> bool:
    """Return whether a description is of another picture than `old`, however small the visible change.

    Slides of one template differ in little more than their numbers.
    """
    return _kept(_NUMBER, new, old) <= LEAST_NUMBERS_KEPT or _kept(_WORD, new, old) < LEAST_WORDS_KEPT


def _kept(kind: re.Pattern[str], new: str, old: str) -> float:
    before = set(kind.findall(old.casefold()))
    return len(before & set(kind.findall(new.casefold()))) / len(before) if before else 1.0


def last_states(newest_first: list[ScreenEntry], pictures: int) -> list[ScreenEntry]:
    """Return the last state of a track's newest pictures, and the state before, which may be a similar slide."""
    of_pictures: dict[int, ScreenEntry] = {}
    for shown in newest_first:
        of_pictures.setdefault(shown.picture, shown)
    last = list(of_pictures.values())[:pictures]
    return last + [shown for shown in newest_first[1:2] if shown not in last]


def to_sentence(shown: ScreenEntry) -> ScreenEntry:
    """Return the entry with the first sentence of its description."""
    if shown.detail != "whole":
        return shown
    return replace(shown, texts=(first_sentence(shown.texts[0]),), detail="sentence")


def to_minute(shown: ScreenEntry) -> ScreenEntry:
    """Return the entry marked to be merged with the others of its minute."""
    return replace(to_sentence(shown), detail="minute")


def brief(shown: ScreenEntry) -> ScreenEntry:
    """Return the entry in one sentence, without the others merged into it."""
    one = to_sentence(shown)
    return replace(one, texts=one.texts[:1])


def collapsed(entries: Iterable[ScreenEntry], may: Callable[[ScreenEntry], bool]) -> list[ScreenEntry]:
    """Return the entries with only the last state of each picture and minute, among those that `may` shrink."""
    kept: list[ScreenEntry] = []
    states: dict[tuple[str, int, int], int] = {}
    for shown in entries:
        state = (shown.track, shown.picture, int(shown.from_s // 60))
        if shown.detail == "minute" or not may(shown):
            kept.append(shown)
        elif state in states:
            kept[states[state]] = replace(shown, from_s=kept[states[state]].from_s)
        else:
            states[state] = len(kept)
            kept.append(shown)
    return kept


def by_span(entries: Iterable[ScreenEntry], may: Callable[[ScreenEntry], bool], span_s: float) -> list[ScreenEntry]:
    """Return the entries; those that `may` shrink become sentences, merged by track and span."""
    return merged((to_minute(shown) if may(shown) else shown for shown in entries), may, span_s)


def merged(
    entries: Iterable[ScreenEntry], may: Callable[[ScreenEntry], bool] = lambda _: True, span_s: float = 60.0
) -> list[ScreenEntry]:
    """Return the entries; minute-level ones of one track that began in the same span are merged into one."""
    kept: list[ScreenEntry] = []
    spans: dict[tuple[str, int], int] = {}
    for shown in entries:
        span = (shown.track, int(shown.from_s // span_s))
        if shown.detail != "minute" or not may(shown):
            kept.append(shown)
        elif span in spans:
            kept[spans[span]] = _both(kept[spans[span]], shown)
        else:
            spans[span] = len(kept)
            kept.append(shown)
    return kept


def _both(earlier: ScreenEntry, later: ScreenEntry) -> ScreenEntry:
    same = earlier.texts[-1:] == later.texts[:1]
    texts = (*earlier.texts, *later.texts[same:])
    # The last sentence stays: it describes the end of the span.
    texts = texts if len(texts) <= SENTENCES_A_MINUTE else (*texts[: SENTENCES_A_MINUTE - 1], texts[-1])
    goes_on = later.picture == earlier.picture + earlier.pictures - 1
    pictures = earlier.pictures + later.pictures - goes_on
    return replace(earlier, texts=texts, until_s=later.until_s, pictures=pictures)


def first_sentence(text: str) -> str:
    """Return the text up to the end of its first sentence that is longer than a heading."""
    for end in _SENTENCE_END.finditer(text):
        if end.start() >= _SHORTEST_SENTENCE_CHARS:
            text = text[: end.start()]
            break
    return text if len(text) <= MAX_SENTENCE_CHARS else one_line(text, MAX_SENTENCE_CHARS)


def line(shown: ScreenEntry, now_s: float, changed_s: float | None = None) -> str:
    """Return one entry as a line; `changed_s` is the time of a later change without a description."""
    since = ago(now_s - shown.from_s)
    when = f"shown now, since {since} ago" if shown.until_s is None else f"from {since} to {_end(shown, now_s)}"
    if changed_s is not None:
        when += f", but changed {ago(now_s - changed_s)} ago and not described anew"
    number = f"picture {shown.picture}"
    if shown.pictures > 1:
        number = f"{shown.pictures} pictures from {number} on"
    return f"{shown.label}, {number}, {when}: {' … '.join(shown.texts)}"


def _end(shown: ScreenEntry, now_s: float) -> str:
    return f"{ago(now_s - (shown.until_s or shown.from_s))} ago"


def ago(seconds: float) -> str:
    """Return a duration in words, such as `2 min`."""
    whole_s = max(0, round(seconds))
    if whole_s < 100:
        return f"{whole_s} s"
    if whole_s < 6_000:
        return f"{round(whole_s / 60)} min"
    return f"{whole_s // 3_600} h {whole_s % 3_600 // 60} min"
