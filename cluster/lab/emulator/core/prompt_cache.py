"""The emulated prompt cache: which prefixes of earlier prompts a vendor still holds. The clock is an argument."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cluster.lab.emulator.core.content import Part
from cluster.lab.emulator.core.faults import Extras

MAX_PREFIXES = 10_000
MOST_POINTS = 256
LIFE_5M_S = 300
LIFE_1H_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePoint:
    """The end of a prefix that may be cached: a digest of the prefix, its length and its life.

    `counts_writes` is false where the vendor does not charge for writing. `writes` is false for a prefix that is read
    if it is held, but not written.
    """

    digest: bytes = field(repr=False)
    tokens: int
    life_s: int = LIFE_5M_S
    counts_writes: bool = True
    writes: bool = True


class PromptCache:
    """The cached prefixes of each API key and model."""

    def __init__(self) -> None:
        self._ends_at_s: OrderedDict[tuple[str, str, bytes], float] = OrderedDict()

    def use(self, key: str, model: str, points: Sequence[CachePoint], now_s: float) -> Extras:
        """Return the tokens read from the cache and written to it, and hold the prefixes from now on.

        `points` are in the order of the prompt. The longest held prefix is read, and extends its life; the tokens
        between it and a later point are written.
        """
        held = [point for point in points if self._ends_at_s.get((key, model, point.digest), now_s) > now_s]
        read = max((point.tokens for point in held), default=0)
        for point in held:
            self._hold((key, model, point.digest), now_s + point.life_s)
        shortly, for_an_hour, reached = 0, 0, read
        for point in sorted((point for point in points if point.writes), key=lambda point: point.tokens):
            new = max(0, point.tokens - reached)
            reached += new
            shortly += new if point.counts_writes and point.life_s < LIFE_1H_S else 0
            for_an_hour += new if point.counts_writes and point.life_s >= LIFE_1H_S else 0
            self._hold((key, model, point.digest), now_s + point.life_s)
        return Extras(cached_tokens=read, cache_write_5m_tokens=shortly, cache_write_1h_tokens=for_an_hour)

    def _hold(self, prefix: tuple[str, str, bytes], until_s: float) -> None:
        self._ends_at_s[prefix] = until_s
        self._ends_at_s.move_to_end(prefix)
        if len(self._ends_at_s) > MAX_PREFIXES:
            self._ends_at_s.popitem(last=False)


def unmarked_points(
    parts: Iterable[Part], least_tokens: int, step_tokens: int, *, life_s: int = LIFE_5M_S, counts_writes: bool = False
) -> tuple[CachePoint, ...]:
    """Return the ends of the prefixes that a vendor caches without being asked. One word is one token."""
    digest, tokens = hashlib.blake2b(digest_size=16), 0
    points: list[CachePoint] = []
    for piece in _pieces(parts):
        digest.update(piece)
        tokens += 1
        if tokens >= least_tokens and (tokens - least_tokens) % step_tokens == 0 and len(points) < MOST_POINTS:
            points.append(CachePoint(digest=digest.digest(), tokens=tokens, life_s=life_s, counts_writes=counts_writes))
    return tuple(points)


def _pieces(parts: Iterable[Part]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield hashlib.blake2b(part, digest_size=16).digest()
        else:
            yield from (word.encode() + b" " for word in part.split())
