"""Stores the descriptions of each track with their times: whole while recent, shorter as they age.

Every decision follows from the descriptions and their times, so recalling has no effect on later recalls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cachetools import FIFOCache

from room_agent.context.compaction import aged, newest, shrunk
from room_agent.context.recall import recall_forms
from room_agent.context.screen_entry import ScreenEntry, brief, line, replaces
from room_agent.core.models import Source
from room_agent.text.quoting import clean_name, one_line, tokens_of

EDITS = frozenset(("text changed", "small spot changed", "motion went on"))
"""The gate's reasons for a frame that shows the previous picture with something written or moved."""
MAX_ENTRY_CHARS = 2_000
MAX_RESTORED = 1_000
MAX_TRACKS = 256
"""The number of tracks whose labels, changes and ends are kept."""


@dataclass(frozen=True, slots=True)
class _Undescribed:
    """The last change of a track, and the time since which it shows a new picture without a description, if any."""

    at_s: float
    new_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScreens:
    """The entries of a memory, oldest first, and the label of each track."""

    entries: tuple[ScreenEntry, ...]
    labels: dict[str, str]


class ScreenMemory:
    """The memory of one room, oldest entry first."""

    def __init__(self) -> None:
        self._entries: list[ScreenEntry] = []
        self._labels: FIFOCache[str, str] = FIFOCache(MAX_TRACKS)
        self._label_count = 0
        self._undescribed: FIFOCache[str, _Undescribed] = FIFOCache(MAX_TRACKS)
        self._ended_s: FIFOCache[str, float] = FIFOCache(MAX_TRACKS)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def chars(self) -> int:
        return sum(entry.chars for entry in self._entries)

    def stored(self) -> StoredScreens:
        """Return the memory for a successor."""
        return StoredScreens(entries=tuple(self._entries), labels=dict(self._labels))

    def restore(self, screens: StoredScreens) -> None:
        """Put a predecessor's entries before the own ones; a track that both have described goes on."""
        own, self._entries = self._entries, list(screens.entries)[-MAX_RESTORED:]
        self._labels.update(list(screens.labels.items())[-MAX_TRACKS:])
        self._label_count = max(self._label_count, len(screens.labels))
        for track, ended_s in self._ended_s.items():
            self._close(track, ended_s)
        for entry in own:
            self.add(entry.track, " ".join(entry.texts), entry.from_s, edited=True)

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
        text = one_line(text, MAX_ENTRY_CHARS)
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
        entry = ScreenEntry(track=track, label=label, picture=picture, texts=(text,), from_s=at_s, until_s=until_s)
        self._entries = shrunk(aged([*self._entries, entry], at_s), at_s)

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

    def label(self, track: str, source: Source, shared_by: str) -> str:
        """Return the stable label of a track, created at the first call."""
        if track not in self._labels:
            self._label_count += 1
            named = f"{'screen' if source == 'screen_share' else 'camera'} {self._label_count}"
            self._labels[track] = f'{named} of "{clean_name(shared_by)}"' if shared_by else named
        return self._labels[track]

    def recall(self, now_s: float, budget_tokens: int, question: str = "") -> str:
        """Return a line for each entry within the budget, in the order of `recall_forms`.

        The lines hold text from screens: they go into a prompt only inside a fence.
        """
        self._entries = aged(self._entries, now_s)
        lines: list[str] = []
        for form in recall_forms(self._entries, newest(self._entries), question):
            lines = self._lines(form, now_s, budget_tokens)
            if len(lines) == len(form):
                break
        return "\n".join(lines)

    def _lines(self, form: list[ScreenEntry], now_s: float, budget_tokens: int) -> list[str]:
        """Return a line for each entry until the budget is used; a long one is cut to its first sentence."""
        lines: list[str] = []
        for entry in form:
            text = self._line(entry, now_s)
            if tokens_of(text) >= budget_tokens:
                text = self._line(brief(entry), now_s)
            if tokens_of(text) >= budget_tokens:
                break
            lines.append(text)
            # The line end is a token too.
            budget_tokens -= tokens_of(text) + 1
        return lines

    def _last(self, track: str) -> ScreenEntry | None:
        return next((entry for entry in reversed(self._entries) if entry.track == track), None)

    def _close(self, track: str, at_s: float) -> None:
        self._entries = [
            replace(entry, until_s=max(at_s, entry.from_s)) if entry.track == track and entry.until_s is None else entry
            for entry in self._entries
        ]

    def _is_new(self, track: str, at_s: float) -> bool:
        """Note a description; return whether it is the first of a new picture after its own frame was skipped."""
        undescribed = self._undescribed.get(track)
        if undescribed is None:
            return False
        is_new = undescribed.new_s is not None and undescribed.new_s <= at_s
        if undescribed.at_s <= at_s:
            del self._undescribed[track]
        elif is_new:
            self._undescribed[track] = replace(undescribed, new_s=None)
        return is_new

    def _line(self, entry: ScreenEntry, now_s: float) -> str:
        undescribed = self._undescribed.get(entry.track) if entry.until_s is None else None
        return line(entry, now_s, None if undescribed is None else undescribed.at_s)
