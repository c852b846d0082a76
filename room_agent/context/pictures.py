"""Holds the newest picture of each track, and selects the pictures that join a turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cachetools import FIFOCache

from room_agent.core.models import Source
from routing.capabilities import PatchTokens

MAX_TRACKS = 16
"""Beyond this number the track unchanged for longest loses its picture; an agent samples fewer tracks."""
MAX_PICTURES = 3
"""The most pictures of a turn: a vendor's time to the first token grows with each."""
ALONE_PX = 1_536
"""The long side of the only shared screen: OCR reads text of 12 px on 1080p in it."""
OF_SEVERAL_PX = 1_152
"""The long side of each of several shared screens: three of 16:10 leave the prompt a third of its budget for text."""
CAMERA_PX, OTHER_CAMERA_PX = 1_024, 496
"""The long side of the first camera, to which somebody may hold a sheet of paper, and of each other one."""
_COUNT = PatchTokens(rule="patches", patch_px=28)
"""Anthropic's rule in routing/models.toml. OpenAI counts fewer tokens for every size, Gemini 1,120 for any screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPicture:
    """A picture of a track; `label` is the screen memory's name for the track, `identity` that of its participant."""

    track: str
    label: str
    source: Source
    identity: str
    jpeg: bytes = field(repr=False)
    size_px: tuple[int, int] | None
    """Width and height; None where they are not known."""
    changed_at_s: float

    @property
    def tokens(self) -> int:
        """About the input tokens of the picture; one of unknown size counts as the largest."""
        return _COUNT.count(*(self.size_px or (ALONE_PX, ALONE_PX * 9 // 16)))


class TrackPictures:
    """The newest pictures of one room."""

    def __init__(self) -> None:
        self._newest: FIFOCache[str, TrackPicture] = FIFOCache(MAX_TRACKS)

    def kept(self, picture: TrackPicture) -> None:
        """Replace the picture of its track."""
        self._newest[picture.track] = picture

    def end(self, track: str) -> None:
        """Drop the picture of a track that ended."""
        self._newest.pop(track, None)

    def of_turn(self, asker: str) -> list[TrackPicture]:
        """Return the pictures for a turn of the identity `asker`, the most useful first."""
        return of_turn(self._newest.values(), asker)


def of_turn(pictures: Iterable[TrackPicture], asker: str) -> list[TrackPicture]:
    """Return at most `MAX_PICTURES` pictures: the asker's own first, then the one that changed last.

    The shared screens join a turn, or the cameras where nobody shares: people who share a screen expect it to be looked
    at, and faces beside it would cost tokens and time.
    """
    live = list(pictures)
    shown = [picture for picture in live if picture.source == "screen_share"] or live
    return sorted(shown, key=lambda picture: (picture.identity != asker, -picture.changed_at_s))[:MAX_PICTURES]


def longest_sides_px(pictures: Sequence[TrackPicture]) -> list[int]:
    """Return the long side that each picture of a turn may have: pictures beside others are smaller."""
    first, rest = (ALONE_PX if len(pictures) == 1 else OF_SEVERAL_PX), OF_SEVERAL_PX
    if any(picture.source == "camera" for picture in pictures):
        first, rest = CAMERA_PX, OTHER_CAMERA_PX
    return [first, *[rest] * len(pictures)][: len(pictures)]


def within(pictures: Iterable[TrackPicture], tokens: int) -> list[TrackPicture]:
    """Return the pictures that fit into so many tokens, those at the front before all others."""
    fitting: list[TrackPicture] = []
    for picture in pictures:
        if picture.tokens <= tokens:
            fitting.append(picture)
            tokens -= picture.tokens
    return fitting
