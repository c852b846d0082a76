"""The prefixes of a prompt that OpenAI caches without being asked: from 1,024 tokens on, in steps of 128."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.lab.emulator.core.content import Part
from cluster.lab.emulator.core.model_rules import ModelRules
from cluster.lab.emulator.core.prompt_cache import LIFE_5M_S, CachePoint, unmarked_points

STEP_TOKENS = 128
LIFE_OF_WRITES_S = 1_800
"""OpenAI's prompt caching guide, read 2026-11-30: models that charge for cache writes hold them for 30 minutes."""


def cache_points(parts: Iterable[Part], rules: ModelRules) -> tuple[CachePoint, ...]:
    """Return the ends of the prefixes, none for a model that does not cache."""
    if rules.cache_min_tokens is None:
        return ()
    charged = "cache_writes" in rules.flags
    life_s = LIFE_OF_WRITES_S if charged else LIFE_5M_S
    return unmarked_points(parts, rules.cache_min_tokens, STEP_TOKENS, life_s=life_s, counts_writes=charged)
