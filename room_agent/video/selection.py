"""Selects the video tracks of a room that are sampled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from room_agent.core.models import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackCandidate:
    """A published video track, as the SFU announces it."""

    track_sid: str
    source: Source
    muted: bool


def select(candidates: Iterable[TrackCandidate], max_tracks: int) -> dict[str, Source]:
    """Return at most `max_tracks` tracks to sample, by id: the screen shares, or the cameras where nobody shares.

    A muted track counts as absent. The first candidates win, so that a newcomer displaces nobody.
    """
    live = [candidate for candidate in candidates if not candidate.muted]
    shares = [candidate for candidate in live if candidate.source == "screen_share"]
    chosen = shares or [candidate for candidate in live if candidate.source == "camera"]
    return {candidate.track_sid: candidate.source for candidate in chosen[:max_tracks]}
