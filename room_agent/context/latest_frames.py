"""Holds the newest picture of each track, and says which of them a question is about. Knows no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from room_agent.core.models import Source
from room_agent.intent.screen_owner import is_askers_own, names, words_of

MAX_TRACKS = 16
"""Of the tracks beyond these the longest unchanged one has no picture; an agent watches fewer."""
_OF_A_CAMERA = re.compile(r"\b(?:camera|webcam|wearing|face|holding|behind (?:me|him|her|them|us))\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestFrame:
    """A kept frame, and whose track it is of; `label` is the memory's name for the track."""

    track: str
    label: str
    source: Source
    shared_by: str
    """What they call themselves; `identity` is who they are."""
    identity: str
    jpeg: bytes = field(repr=False)
    captured_at_s: float


class LatestFrames:
    """One room's."""

    def __init__(self) -> None:
        self._newest: dict[str, LatestFrame] = {}

    def kept(self, picture: LatestFrame) -> None:
        self._newest.pop(picture.track, None)
        self._newest[picture.track] = picture
        if len(self._newest) > MAX_TRACKS:
            self._newest.pop(next(iter(self._newest)))

    def end(self, track: str) -> None:
        """Forget a track that shows nothing more."""
        self._newest.pop(track, None)

    def of(self, question: str, asker: str, before: str = "") -> LatestFrame | None:
        """Return the picture for a question about what can be seen, asked by who has the identity `asker`.

        A question that goes on from one about the track `before` stays with it.
        """
        return chosen(question, self._newest.values(), asker, before)


def chosen(question: str, pictures: Iterable[LatestFrame], asker: str, before: str = "") -> LatestFrame | None:
    """Return the picture of whom the question names, the asker's own for "my screen", a share before a camera.

    Of several the newest.
    """
    words, mine = words_of(question), is_askers_own(question)
    camera = _OF_A_CAMERA.search(question.casefold()) is not None

    def fitness(picture: LatestFrame) -> tuple[bool, bool, bool, bool, float]:
        fits = (picture.source == "camera") is camera
        own = mine and fits and picture.identity == asker
        return names(words, picture.shared_by), own, picture.track == before, fits, picture.captured_at_s

    return max(pictures, key=fitness, default=None)
