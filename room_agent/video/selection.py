"""Chooses which video tracks of a room are watched. Plain values in, track ids out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Source = Literal["screen_share", "camera"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackCandidate:
    """A published video track, as the SFU tells of it."""

    track_sid: str
    source: Source
    muted: bool


def select(candidates: Iterable[TrackCandidate], max_tracks: int) -> dict[str, Source]:
    """Return the tracks to watch, by id: the screen shares, or the cameras where nobody shares; `max_tracks` at most.

    A muted track counts as absent. The oldest ids of the room win, so that a newcomer displaces nobody.
    """
    live = [candidate for candidate in candidates if not candidate.muted]
    shares = [candidate for candidate in live if candidate.source == "screen_share"]
    chosen = shares or [candidate for candidate in live if candidate.source == "camera"]
    return {candidate.track_sid: candidate.source for candidate in chosen[:max_tracks]}
