"""Recognizes a picture that was kept before: a slide flipped back, a window switched back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from room_agent.frames.cursors import Shape
from room_agent.frames.detector import compare
from room_agent.frames.noise import NoiseGate
from room_agent.frames.picture import Picture
from room_agent.frames.verdict import Finding, Judgement, RegionKind

MAX_PICTURES = 16
MAX_BYTES = 48_000_000
"""The memory of one track's pictures: 16 at 1080p, four at 4K."""
_SIMILAR_BITS = 8
"""Hashes of one picture with another pointer or caret differ by no more; those of two pages by 18 to 34."""

_EQUAL = frozenset((RegionKind.POINTER, RegionKind.CLOCK, RegionKind.NOISE))
_DOUBTS = frozenset((RegionKind.CARET, RegionKind.SPOT, RegionKind.DETAIL))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMatch:
    """A kept picture, by its key, that shows the same. Unless `certain`, noise or a caret may hide a difference."""

    key: int
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    phash: int
    picture: Picture


class SeenPictures:
    """The last kept pictures of one track, each with a key; for one thread at a time."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._gate: NoiseGate | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def find(
        self, picture: Picture, phash: int, explains: Callable[[Finding], bool], known_shapes: Sequence[Shape] = ()
    ) -> SeenMatch | None:
        """Return a kept picture that shows the same, or None. One that does for certain is preferred.

        The hash only finds candidates. The grid confirms them: one edited word is another picture. One with a caret
        may be, as that may be a letter that was typed, unless `explains` returns that a caret blinks there.
        """
        doubtful = None
        for key, seen in reversed(self._seen.items()):
            if seen.picture.luma.shape != picture.luma.shape or (seen.phash ^ phash).bit_count() > _SIMILAR_BITS:
                continue
            judgement = self._compared(seen.picture, picture, known_shapes)
            kinds = {finding.kind for finding in judgement.findings if not explains(finding)}
            if kinds <= _EQUAL and not judgement.is_noisy:
                self._seen.move_to_end(key)
                return SeenMatch(key=key, certain=True)
            if doubtful is None and kinds <= _EQUAL | _DOUBTS:
                doubtful = SeenMatch(key=key, certain=False)
        return doubtful

    def add(self, key: int, picture: Picture, phash: int) -> None:
        """Store a picture, and drop the oldest ones beyond the bounds. Its memory stays in use."""
        self._seen[key] = _Seen(phash=phash, picture=picture)
        while len(self._seen) > MAX_PICTURES or (
            len(self._seen) > 1 and sum(seen.picture.size_bytes for seen in self._seen.values()) > MAX_BYTES
        ):
            self._seen.popitem(last=False)

    def _compared(self, seen: Picture, picture: Picture, known_shapes: Sequence[Shape]) -> Judgement:
        if self._gate is None or self._gate.shape != picture.grid.shape:
            self._gate = NoiseGate(picture.grid.shape)
        return compare(seen, picture, self._gate, known_shapes=known_shapes)
