"""Shortens screen entries as they age, and shortens all of them further when the memory exceeds its limits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from room_agent.context.screen_entry import ScreenEntry, by_span, collapsed, last_states, merged, to_minute, to_sentence

MINUTE_S, PART_S, HOUR_S = 60.0, 600.0, 3_600.0
WHOLE_S, SENTENCE_S = 180.0, 900.0
"""The ages up to which a description stays whole, and a sentence; an older one is merged with its minute."""
WHOLE_PICTURES, WHOLE_TRACKS = 3, 4
"""So many of the newest pictures of so many tracks stay whole at any age: a slide may be shown for an hour, and people
still ask for the two before it."""
MAX_ENTRIES, MAX_CHARS = 200, 24_000


def aged(entries: list[ScreenEntry], now_s: float) -> list[ScreenEntry]:
    """Shorten old entries to a sentence, then merge older ones by the minute."""
    recent = {id(entry) for entry in newest(entries)}
    shorter: list[ScreenEntry] = []
    for entry in entries:
        age_s = now_s - entry.from_s
        if id(entry) not in recent and entry.until_s is not None and age_s > WHOLE_S:
            entry = to_sentence(entry) if age_s <= SENTENCE_S else to_minute(entry)
        shorter.append(entry)
    return merged(shorter)


def newest(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    """Return the last state of each track's newest pictures, and the state before: first all the newest, then the rest.

    The state before is included because slides of one template look like one slide that is edited.
    """
    states: dict[str, list[ScreenEntry]] = {}
    for entry in reversed(entries):
        if entry.track in states or len(states) < WHOLE_TRACKS:
            states.setdefault(entry.track, []).append(entry)
    tracks = [last_states(of_track, WHOLE_PICTURES) for of_track in states.values()]
    return [of_track[rank] for rank in range(WHOLE_PICTURES + 1) for of_track in tracks if rank < len(of_track)]


def firsts(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    """Return the first remembered entry of each track, the oldest track first."""
    first: dict[str, ScreenEntry] = {}
    for entry in entries:
        first.setdefault(entry.track, entry)
    return list(first.values())


def shrunk(entries: list[ScreenEntry], now_s: float) -> list[ScreenEntry]:
    """Return the entries within the limits: shortened step by step, and dropped only after the last step."""
    for step in _steps(entries, now_s):
        if _fits(entries):
            return entries
        entries = step(entries)
    return _within(entries)


def _steps(entries: list[ScreenEntry], now_s: float) -> list[Callable[[list[ScreenEntry]], list[ScreenEntry]]]:
    recent = {id(entry) for entry in newest(entries)}

    def older(min_age_s: float, min_pictures: int = 1) -> Callable[[ScreenEntry], bool]:
        return lambda entry: (
            entry.until_s is not None
            and id(entry) not in recent
            and now_s - entry.from_s >= min_age_s
            and entry.pictures >= min_pictures
        )

    return [
        partial(collapsed, may_shrink=older(0.0)),
        partial(by_span, may_shrink=older(MINUTE_S), span_s=MINUTE_S),
        # Single pictures are spared: a slide shown for minutes keeps its line when a busy screen shrinks to one in ten.
        partial(by_span, may_shrink=older(SENTENCE_S, min_pictures=2), span_s=PART_S),
        partial(by_span, may_shrink=older(0.0), span_s=MINUTE_S),
        partial(by_span, may_shrink=older(0.0), span_s=PART_S),
        partial(by_span, may_shrink=older(0.0), span_s=HOUR_S),
        lambda kept: [*map(to_sentence, kept[:-1]), *kept[-1:]],
    ]


def _fits(entries: list[ScreenEntry]) -> bool:
    return len(entries) <= MAX_ENTRIES and sum(entry.chars for entry in entries) <= MAX_CHARS


def _within(entries: list[ScreenEntry]) -> list[ScreenEntry]:
    """Drop the oldest until the limits hold; first and newest pictures go late, currently shown ones last."""
    spared = {id(entry) for entry in [*firsts(entries), *newest(entries)]}
    order = sorted(entries, key=lambda entry: (entry.until_s is None, id(entry) in spared))
    chars, dropped = sum(entry.chars for entry in entries), set[int]()
    for entry in order:
        if len(entries) - len(dropped) <= MAX_ENTRIES and chars <= MAX_CHARS:
            break
        dropped.add(id(entry))
        chars -= entry.chars
    return [entry for entry in entries if id(entry) not in dropped]
