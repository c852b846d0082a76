"""Stores the descriptions of each track with their times: whole while recent, shorter as they age.

Every decision follows from the descriptions and their times, so recalling has no effect on later recalls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cachetools import FIFOCache

from room_agent.context.compaction import MemorySettings, aged, newest, shrunk
from room_agent.context.recall import recall_forms
from room_agent.context.screen_entry import ScreenEntry, brief, line, replaces
from room_agent.core.models import Source
from room_agent.text.quoting import clean_name, one_line, tokens_of

EDITS = frozenset(("text changed", "small spot changed"))
"""The gate's reasons for a frame that shows the previous picture with something written or moved."""
MAX_TRACKS = 256
"""The number of tracks whose labels, changes and ends are kept."""


@dataclass(frozen=True, slots=True)
class _Undescribed:
    """The last change of a track, and the time since which it shows a new picture without a description, if any."""

    at_s: float
    new_s: float | None


class ScreenMemory:
    """The memory of one room, oldest entry first."""

    def __init__(self, settings: MemorySettings | None = None) -> None:
        self._settings = settings or MemorySettings()
        self._shown: list[ScreenEntry] = []
        self._labels: FIFOCache[str, str] = FIFOCache(MAX_TRACKS)
        self._labelled = 0
        self._undescribed: FIFOCache[str, _Undescribed] = FIFOCache(MAX_TRACKS)
        self._ended_s: FIFOCache[str, float] = FIFOCache(MAX_TRACKS)

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
        """Add the description of a track from `at_s` on; an unchanged one extends the current entry."""
        text = one_line(text, self._settings.max_entry_chars)
        last = self._last(track)
        at_s = at_s if last is None else max(at_s, last.until_s or last.from_s)
        edited = not self._is_new(track, at_s) and edited and not (last and replaces(text, last.texts[0]))
        if not text or (last is not None and last.until_s is None and last.texts == (text,)):
            return
        self._close(track, at_s)
        picture = 1 if last is None else last.picture + last.pictures - 1 + (not edited or last.until_s is not None)
        label = self.label(track, source, shared_by)
        # The description of a frame may arrive after its track has ended.
        ended_s = self._ended_s.get(track)
        until_s = ended_s if ended_s is not None and ended_s >= at_s else None
        shown = ScreenEntry(track=track, label=label, picture=picture, texts=(text,), from_s=at_s, until_s=until_s)
        self._shown = shrunk(aged([*self._shown, shown], self._settings, at_s), self._settings, at_s)

    def changed(self, track: str, at_s: float, *, edited: bool = False) -> None:
        """Note that a track changed; recalls say so until `add` brings a description of that time or later."""
        before = self._undescribed.get(track)
        new_s = before.new_s if before is not None else None
        self._undescribed[track] = _Undescribed(at_s, at_s if new_s is None and not edited else new_s)

    def end(self, track: str, at_s: float) -> None:
        """Close the current entry of a track that ended."""
        self._undescribed.pop(track, None)
        self._ended_s[track] = at_s
        self._close(track, at_s)

    def label(self, track: str, source: Source = "screen_share", shared_by: str = "") -> str:
        """Return the stable label of a track, created at the first call."""
        if track not in self._labels:
            self._labelled += 1
            named = f"{'screen' if source == 'screen_share' else 'camera'} {self._labelled}"
            self._labels[track] = f'{named} of "{clean_name(shared_by)}"' if shared_by else named
        return self._labels[track]

    def shown_now(self) -> list[str]:
        """Return the descriptions of the pictures shown now."""
        return [" ".join(shown.texts) for shown in self._shown if shown.until_s is None]

    def recall(self, now_s: float, budget_tokens: int, question: str = "") -> str:
        """Return a line for each entry within the budget, in the order of `recall_forms`.

        The lines hold text from screens: they go into a prompt only inside a fence.
        """
        self._shown = aged(self._shown, self._settings, now_s)
        lines: list[str] = []
        for form in recall_forms(self._shown, newest(self._shown, self._settings), question):
            lines = self._lines(form, now_s, budget_tokens)
            if len(lines) == len(form):
                break
        return "\n".join(lines)

    def _lines(self, form: list[ScreenEntry], now_s: float, budget_tokens: int) -> list[str]:
        """Return a line for each entry until the budget is used; a long one is cut to its first sentence."""
        lines: list[str] = []
        for shown in form:
            text = self._line(shown, now_s)
            if tokens_of(text) >= budget_tokens:
                text = self._line(brief(shown), now_s)
            if tokens_of(text) >= budget_tokens:
                break
            lines.append(text)
            # The line end is a token too.
            budget_tokens -= tokens_of(text) + 1
        return lines

    def _last(self, track: str) -> ScreenEntry | None:
        return next((shown for shown in reversed(self._shown) if shown.track == track), None)

    def _close(self, track: str, at_s: float) -> None:
        self._shown = [
            replace(shown, until_s=max(at_s, shown.from_s)) if shown.track == track and shown.until_s is None else shown
            for shown in self._shown
        ]

    def _is_new(self, track: str, at_s: float) -> bool:
        """Note a description; return whether it is the first of a new picture after its own frame was skipped."""
        waiting = self._undescribed.get(track)
        if waiting is None:
            return False
        is_new = waiting.new_s is not None and waiting.new_s <= at_s
        if waiting.at_s <= at_s:
            del self._undescribed[track]
        elif is_new:
            self._undescribed[track] = replace(waiting, new_s=None)
        return is_new

    def _line(self, shown: ScreenEntry, now_s: float) -> str:
        waiting = self._undescribed.get(shown.track) if shown.until_s is None else None
        return line(shown, now_s, None if waiting is None else waiting.at_s)
