"""Recognizes a picture that was kept before: a slide flipped back, a window switched back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from room_agent.frames.detector import compare
from room_agent.frames.noise import NoiseGate
from room_agent.frames.picture import Picture
from room_agent.frames.regions import Region
from room_agent.frames.verdict import Finding, RegionKind

MAX_PICTURES = 16
MAX_BYTES = 48_000_000
"""The memory of one track's pictures: 16 at 1080p, four at 4K."""
_SIMILAR_BITS = 8
"""Hashes of one picture with another pointer or caret differ by no more; those of two pages by 18 to 34."""

_EQUAL = frozenset((RegionKind.POINTER, RegionKind.CLOCK, RegionKind.NOISE))


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

    def find(self, picture: Picture, phash: int, has_caret: Callable[[Region], bool]) -> int | None:
        """Return the key of a kept picture that shows the same, or None.

        The hash only finds candidates. The grid confirms them: one edited word is another picture, and so is one with
        a caret where `has_caret` knows of none, as it may be a letter that was typed.
        """

        def equal(finding: Finding) -> bool:
            return finding.kind in _EQUAL or (finding.kind is RegionKind.CARET and has_caret(finding.region))

        for key, seen in reversed(self._seen.items()):
            same_size = seen.picture.luma.shape == picture.luma.shape
            similar = same_size and (seen.phash ^ phash).bit_count() <= _SIMILAR_BITS
            if similar and all(map(equal, self._findings(seen.picture, picture))):
                self._seen.move_to_end(key)
                return key
        return None

    def add(self, key: int, picture: Picture, phash: int) -> None:
        """Store a picture, and drop the oldest ones beyond the bounds. Its memory stays in use."""
        self._seen[key] = _Seen(phash=phash, picture=picture)
        while len(self._seen) > MAX_PICTURES or (
            len(self._seen) > 1 and sum(seen.picture.size_bytes for seen in self._seen.values()) > MAX_BYTES
        ):
            self._seen.popitem(last=False)

    def _findings(self, seen: Picture, picture: Picture) -> tuple[Finding, ...]:
        if self._gate is None or self._gate.shape != picture.grid.shape:
            self._gate = NoiseGate(picture.grid.shape)
        return compare(seen, picture, self._gate).findings
