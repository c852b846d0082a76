"""Holds the newest frame of each track, and selects the one that a question is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cachetools import FIFOCache

from room_agent.core.models import Source
from room_agent.intent.screen_owner import is_askers_own, names, words_of

MAX_TRACKS = 16
"""Beyond this number the track unchanged for longest loses its frame; an agent samples fewer tracks."""
_OF_A_CAMERA = re.compile(r"\b(?:camera|webcam|wearing|face|holding|behind (?:me|him|her|them|us))\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestFrame:
    """A kept frame and its track; `label` is the screen memory's name for the track."""

    track: str
    label: str
    source: Source
    shared_by: str
    """The display name, which participants choose; `identity` is unique in the room."""
    identity: str
    jpeg: bytes = field(repr=False)
    captured_at_s: float


class LatestFrames:
    """The newest frames of one room."""

    def __init__(self) -> None:
        self._newest: FIFOCache[str, LatestFrame] = FIFOCache(MAX_TRACKS)

    def kept(self, picture: LatestFrame) -> None:
        """Replace the frame of its track."""
        self._newest[picture.track] = picture

    def end(self, track: str) -> None:
        """Drop the frame of a track that ended."""
        self._newest.pop(track, None)

    def of(self, question: str, asker: str, before: str = "") -> LatestFrame | None:
        """Return the frame for a question about the screen from the identity `asker`.

        A follow-up to a question about the track `before` stays with that track.
        """
        return chosen(question, self._newest.values(), asker, before)


def chosen(question: str, pictures: Iterable[LatestFrame], asker: str, before: str) -> LatestFrame | None:
    """Return the frame of the person named in the question, or the asker's own for "my screen".

    A screen share comes before a camera unless the question is about a camera. Among equals the newest wins.
    """
    words, mine = words_of(question), is_askers_own(question)
    camera = _OF_A_CAMERA.search(question.casefold()) is not None

    def fitness(picture: LatestFrame) -> tuple[bool, bool, bool, bool, float]:
        fits = (picture.source == "camera") is camera
        own = mine and fits and picture.identity == asker
        return names(words, picture.shared_by), own, picture.track == before, fits, picture.captured_at_s

    return max(pictures, key=fitness, default=None)
