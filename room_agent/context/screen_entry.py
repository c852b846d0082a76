"""Defines a screen entry, one picture of one track over time, and its shortened and merged forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from room_agent.text.quoting import one_line

MAX_SENTENCE_CHARS = 200
SENTENCES_A_MINUTE = 3
MIN_NUMBERS_KEPT, MIN_WORDS_KEPT = 0.5, 1 / 3
"""The share of a description's numbers and words that an edit keeps; a vision model rewords the same picture."""

_SENTENCE_END = re.compile("(?<=[.!?])\\s|(?<=[\u3002\uff01\uff1f])")
_MIN_SENTENCE_CHARS = 24
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
    return _kept_share(_NUMBER, new, old) <= MIN_NUMBERS_KEPT or _kept_share(_WORD, new, old) < MIN_WORDS_KEPT


def _kept_share(kind: re.Pattern[str], new: str, old: str) -> float:
    before = set(kind.findall(old.casefold()))
    return len(before & set(kind.findall(new.casefold()))) / len(before) if before else 1.0


def last_states(newest_first: list[ScreenEntry], pictures: int) -> list[ScreenEntry]:
    """Return the last state of a track's newest pictures, and the state before, which may be a similar slide."""
    of_pictures: dict[int, ScreenEntry] = {}
    for entry in newest_first:
        of_pictures.setdefault(entry.picture, entry)
    last = list(of_pictures.values())[:pictures]
    return last + [entry for entry in newest_first[1:2] if entry not in last]


def to_sentence(entry: ScreenEntry) -> ScreenEntry:
    """Return the entry with the first sentence of its description."""
    if entry.detail != "whole":
        return entry
    return replace(entry, texts=(first_sentence(entry.texts[0]),), detail="sentence")


def to_minute(entry: ScreenEntry) -> ScreenEntry:
    """Return the entry marked to be merged with the others of its minute."""
    return replace(to_sentence(entry), detail="minute")


def brief(entry: ScreenEntry) -> ScreenEntry:
    """Return the entry in one sentence, without the others merged into it."""
    sentence = to_sentence(entry)
    return replace(sentence, texts=sentence.texts[:1])


def collapsed(entries: Iterable[ScreenEntry], may_shrink: Callable[[ScreenEntry], bool]) -> list[ScreenEntry]:
    """Return the entries with only the last state of each picture and minute, among those that `may_shrink` accepts."""
    kept: list[ScreenEntry] = []
    states: dict[tuple[str, int, int], int] = {}
    for entry in entries:
        state = (entry.track, entry.picture, int(entry.from_s // 60))
        if entry.detail == "minute" or not may_shrink(entry):
            kept.append(entry)
        elif state in states:
            kept[states[state]] = replace(entry, from_s=kept[states[state]].from_s)
        else:
            states[state] = len(kept)
            kept.append(entry)
    return kept


def by_span(
    entries: Iterable[ScreenEntry], may_shrink: Callable[[ScreenEntry], bool], span_s: float
) -> list[ScreenEntry]:
    """Return the entries; those that `may_shrink` accepts become sentences, merged by track and span."""
    return merged((to_minute(entry) if may_shrink(entry) else entry for entry in entries), may_shrink, span_s)


def merged(
    entries: Iterable[ScreenEntry], may_shrink: Callable[[ScreenEntry], bool] = lambda _: True, span_s: float = 60.0
) -> list[ScreenEntry]:
    """Return the entries; minute-level ones of one track that began in the same span are merged into one."""
    kept: list[ScreenEntry] = []
    spans: dict[tuple[str, int], int] = {}
    for entry in entries:
        span = (entry.track, int(entry.from_s // span_s))
        if entry.detail != "minute" or not may_shrink(entry):
            kept.append(entry)
        elif span in spans:
            kept[spans[span]] = _merged_pair(kept[spans[span]], entry)
        else:
            spans[span] = len(kept)
            kept.append(entry)
    return kept


def _merged_pair(earlier: ScreenEntry, later: ScreenEntry) -> ScreenEntry:
    same = earlier.texts[-1:] == later.texts[:1]
    texts = (*earlier.texts, *later.texts[same:])
    # The last sentence stays: it describes the end of the span.
    texts = texts if len(texts) <= SENTENCES_A_MINUTE else (*texts[: SENTENCES_A_MINUTE - 1], texts[-1])
    same_picture = later.picture == earlier.picture + earlier.pictures - 1
    pictures = earlier.pictures + later.pictures - same_picture
    return replace(earlier, texts=texts, until_s=later.until_s, pictures=pictures)


def first_sentence(text: str) -> str:
    """Return the text up to the end of its first sentence that is longer than a heading."""
    for end in _SENTENCE_END.finditer(text):
        if end.start() >= _MIN_SENTENCE_CHARS:
            text = text[: end.start()]
            break
    return text if len(text) <= MAX_SENTENCE_CHARS else one_line(text, MAX_SENTENCE_CHARS)


def line(entry: ScreenEntry, now_s: float, changed_s: float | None = None) -> str:
    """Return one entry as a line; `changed_s` is the time of a later change without a description."""
    since = ago(now_s - entry.from_s)
    period = f"shown now, since {since} ago" if entry.until_s is None else f"from {since} to {_end_text(entry, now_s)}"
    if changed_s is not None:
        period += f", but changed {ago(now_s - changed_s)} ago and not described anew"
    number = f"picture {entry.picture}"
    if entry.pictures > 1:
        number = f"{entry.pictures} pictures from {number} on"
    return f"{entry.label}, {number}, {period}: {' … '.join(entry.texts)}"


def _end_text(entry: ScreenEntry, now_s: float) -> str:
    return f"{ago(now_s - (entry.until_s or entry.from_s))} ago"


def ago(seconds: float) -> str:
    """Return a duration in words, such as `2 min`."""
    rounded_s = max(0, round(seconds))
    if rounded_s < 100:
        return f"{rounded_s} s"
    if rounded_s < 6_000:
        return f"{round(rounded_s / 60)} min"
    return f"{rounded_s // 3_600} h {rounded_s % 3_600 // 60} min"
