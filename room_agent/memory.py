"""Remembers what each track showed and when: whole while it is recent, in a sentence or by the minute as it ages.

Everything is decided by rule and by the clock that comes in, so the same descriptions at the same times are always
remembered alike, however often somebody asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from room_agent.fence import clean_name, one_line, tokens_of
from room_agent.selection import Source

EDITS = frozenset(("text changed", "small spot changed"))
"""Why a frame was kept when it still shows the picture before it, with something written or moved."""
MAX_SENTENCE_CHARS = 200
SENTENCES_A_MINUTE = 3

_SENTENCE_END = re.compile("(?<=[.!?])\\s|(?<=[\u3002\uff01\uff1f])")
_SHORTEST_SENTENCE_CHARS = 24

Detail = Literal["whole", "sentence", "minute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """How long a description stays whole and then by itself, and how much is kept at all.

    The newest two pictures of the four newest tracks stay whole however old they are: a slide may stand for an hour,
    and the one before it is still asked for.
    """

    whole_s: float = 180.0
    sentence_s: float = 900.0
    pictures: int = 2
    tracks: int = 4
    max_entries: int = 200
    max_chars: int = 24_000
    max_entry_chars: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one track showed for some time; `until_s` is None while it still does.

    A picture that is written on keeps its number. `times` counts the descriptions that were merged into this one.
    """

    track: str
    label: str
    picture: int
    texts: tuple[str, ...]
    from_s: float
    until_s: float | None = None
    detail: Detail = "whole"
    times: int = 1

    @property
    def chars(self) -> int:
        return sum(map(len, self.texts))


class Memory:
    """One room's memory, oldest first."""

    def __init__(self, settings: MemorySettings | None = None) -> None:
        self._settings = settings or MemorySettings()
        self._shown: list[Shown] = []
        self._labels = 0

    def __len__(self) -> int:
        return len(self._shown)

    @property
    def chars(self) -> int:
        return sum(shown.chars for shown in self._shown)

    def add(
        self,
        track: str,
        text: str,
        at_s: float,
        *,
        source: Source = "screen_share",
        shared_by: str = "",
        edited: bool = False,
    ) -> None:
        """Remember what a track shows from `at_s` on; a description that says nothing new is no new one."""
        text = one_line(text, self._settings.max_entry_chars)
        last = self._last(track)
        at_s = at_s if last is None else max(at_s, last.until_s or last.from_s)
        if not text or (last is not None and last.until_s is None and last.texts == (text,)):
            return
        self._close(track, at_s)
        picture = 1 if last is None else last.picture + (not edited or last.until_s is not None)
        label = self._label(source, shared_by) if last is None else last.label
        self._shown.append(Shown(track=track, label=label, picture=picture, texts=(text,), from_s=at_s))
        self._age(at_s)
        self._shrink()

    def end(self, track: str, at_s: float) -> None:
        """Remember that a track shows nothing more."""
        self._close(track, at_s)

    def recall(self, now_s: float, budget_tokens: int) -> str:
        """Return what is shown now, what was shown just before, and then the rest backward, a line each.

        The lines hold text from screens: they go into a prompt only inside a fence.
        """
        self._age(now_s)
        lines: list[str] = []
        for shown in self._by_use():
            line = _line(shown, now_s)
            if tokens_of(line) >= budget_tokens:
                line = _line(_to_sentence(shown), now_s)
            if tokens_of(line) >= budget_tokens:
                break
            lines.append(line)
            # One more for the line's end.
            budget_tokens -= tokens_of(line) + 1
        return "\n".join(lines)

    def _last(self, track: str) -> Shown | None:
        return next((shown for shown in reversed(self._shown) if shown.track == track), None)

    def _close(self, track: str, at_s: float) -> None:
        self._shown = [
            replace(shown, until_s=max(at_s, shown.from_s)) if shown.track == track and shown.until_s is None else shown
            for shown in self._shown
        ]

    def _label(self, source: Source, shared_by: str) -> str:
        self._labels += 1
        label = f"{'screen' if source == 'screen_share' else 'camera'} {self._labels}"
        return f'{label} of "{clean_name(shared_by)}"' if shared_by else label

    def _age(self, now_s: float) -> None:
        """Shorten what is old, then merge what is older by the minute."""
        fresh = {id(shown) for shown in _newest(self._shown, self._settings)}
        aged: list[Shown] = []
        for shown in self._shown:
            age_s = now_s - shown.from_s
            if id(shown) not in fresh and shown.until_s is not None and age_s > self._settings.whole_s:
                shown = _to_sentence(shown) if age_s <= self._settings.sentence_s else _to_minute(shown)
            aged.append(shown)
        self._shown = _merged(aged)

    def _shrink(self) -> None:
        """Forget the oldest until the bounds hold; what is shown now goes last."""
        settings = self._settings
        chars = self.chars
        while len(self._shown) > settings.max_entries or chars > settings.max_chars:
            ended = (index for index, shown in enumerate(self._shown) if shown.until_s is not None)
            chars -= self._shown.pop(next(ended, 0)).chars

    def _by_use(self) -> list[Shown]:
        fresh = {id(shown): rank for rank, shown in enumerate(_newest(self._shown, self._settings))}
        newest_first = sorted(self._shown, key=lambda shown: -shown.from_s)
        return sorted(newest_first, key=lambda shown: (shown.until_s is not None, fresh.get(id(shown), len(fresh))))


def _newest(entries: list[Shown], settings: MemorySettings) -> list[Shown]:
    """Return the last state of each track's newest pictures: first all the newest ones, then all those before."""
    pictures: dict[str, dict[int, Shown]] = {}
    for shown in reversed(entries):
        if shown.track in pictures or len(pictures) < settings.tracks:
            pictures.setdefault(shown.track, {}).setdefault(shown.picture, shown)
    ranks = range(settings.pictures)
    tracks = [list(of_track.values()) for of_track in pictures.values()]
    return [of_track[rank] for rank in ranks for of_track in tracks if rank < len(of_track)]


def _to_sentence(shown: Shown) -> Shown:
    if shown.detail != "whole":
        return shown
    return replace(shown, texts=(first_sentence(shown.texts[0]),), detail="sentence")


def _to_minute(shown: Shown) -> Shown:
    return replace(_to_sentence(shown), detail="minute")


def _merged(entries: Iterable[Shown]) -> list[Shown]:
    """Return the entries with those of one track that began in the same old minute as one."""
    kept: list[Shown] = []
    minutes: dict[tuple[str, int], int] = {}
    for shown in entries:
        minute = (shown.track, int(shown.from_s // 60))
        if shown.detail != "minute":
            kept.append(shown)
        elif minute in minutes:
            kept[minutes[minute]] = _both(kept[minutes[minute]], shown)
        else:
            minutes[minute] = len(kept)
            kept.append(shown)
    return kept


def _both(earlier: Shown, later: Shown) -> Shown:
    texts = (*earlier.texts, *later.texts)[:SENTENCES_A_MINUTE]
    return replace(earlier, texts=texts, until_s=later.until_s, times=earlier.times + later.times)


def first_sentence(text: str) -> str:
    """Return the text up to the end of its first sentence that is not a mere heading."""
    for end in _SENTENCE_END.finditer(text):
        if end.start() >= _SHORTEST_SENTENCE_CHARS:
            text = text[: end.start()]
            break
    return one_line(text, MAX_SENTENCE_CHARS)


def _line(shown: Shown, now_s: float) -> str:
    since = ago(now_s - shown.from_s)
    when = f"shown now, since {since} ago" if shown.until_s is None else f"from {since} to {_end(shown, now_s)}"
    what = f"picture {shown.picture}"
    if shown.times > 1:
        what = f"{shown.times} pictures from {what} on"
    return f"{shown.label}, {what}, {when}: {' … '.join(shown.texts)}"


def _end(shown: Shown, now_s: float) -> str:
    return f"{ago(now_s - (shown.until_s or shown.from_s))} ago"


def ago(seconds: float) -> str:
    """Return a stretch of time as people say it."""
    whole_s = max(0, round(seconds))
    if whole_s < 100:
        return f"{whole_s} s"
    if whole_s < 6_000:
        return f"{round(whole_s / 60)} min"
    return f"{whole_s // 3_600} h {whole_s % 3_600 // 60} min"
