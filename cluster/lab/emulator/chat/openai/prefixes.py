"""The prefixes of a prompt that OpenAI caches without being asked: from 1,024 tokens on, in steps of 128."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from cluster.lab.emulator.core.content import Part
from cluster.lab.emulator.core.model_rules import ModelRules
from cluster.lab.emulator.core.prompt_cache import LIFE_5M_S, CachePoint

STEP_TOKENS = 128
MOST_POINTS = 256
LIFE_OF_WRITES_S = 1_800
"""OpenAI's prompt caching guide, read 2026-11-30: models that charge for cache writes hold them for 30 minutes."""


def cache_points(parts: Iterable[Part], rules: ModelRules) -> tuple[CachePoint, ...]:
    """Return the ends of the prefixes, none for a model that does not cache. One word is one token."""
    least = rules.cache_min_tokens
    if least is None:
        return ()
    charged = "cache_writes" in rules.flags
    life_s = LIFE_OF_WRITES_S if charged else LIFE_5M_S
    digest, tokens = hashlib.blake2b(digest_size=16), 0
    points: list[CachePoint] = []
    for piece in _pieces(parts):
        digest.update(piece)
        tokens += 1
        if tokens >= least and (tokens - least) % STEP_TOKENS == 0 and len(points) < MOST_POINTS:
            points.append(CachePoint(digest=digest.digest(), tokens=tokens, life_s=life_s, counts_writes=charged))
    return tuple(points)


def _pieces(parts: Iterable[Part]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield hashlib.blake2b(part, digest_size=16).digest()
        else:
            yield from (word.encode() + b" " for word in part.split())
