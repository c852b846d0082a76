"""Shares the places there are for microphones among those who have one. Plain values in and out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMicrophone:
    """A participant's microphone, as the room tells of it."""

    sid: str
    identity: str
    muted: bool


M = TypeVar("M", bound=PublishedMicrophone)


def share(live: Iterable[M], heard: Container[str], most: int) -> list[M]:
    """Return which to hear: one microphone of each participant, then a second one of each, and so on.

    Among equals those `heard` already stay, then the first ones come. A muted one stays where a place is left over.
    """
    wanted = [one for one in live if not one.muted or one.sid in heard]
    wanted.sort(key=lambda one: (one.muted, one.sid not in heard))
    rounds: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int]] = []
    for at, one in enumerate(wanted):
        ranked.append((one.muted, rounds[one.identity], at))
        rounds[one.identity] += 1
    return [wanted[at] for _, _, at in sorted(ranked)[:most]]
