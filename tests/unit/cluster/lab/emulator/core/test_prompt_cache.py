"""A prefix is written once and read until its life ends."""

from __future__ import annotations

from cluster.lab.emulator.core.faults import Extras
from cluster.lab.emulator.core.prompt_cache import LIFE_1H_S, MAX_PREFIXES, CachePoint, PromptCache

SHORT = CachePoint(digest=b"short", tokens=600)
LONG = CachePoint(digest=b"long", tokens=1_000, life_s=LIFE_1H_S)


def test_a_prefix_is_written_and_then_read() -> None:
    cache = PromptCache()
    assert cache.use("key", "m", [SHORT], 0.0) == Extras(cache_write_5m_tokens=600)
    assert cache.use("key", "m", [SHORT, LONG], 1.0) == Extras(cached_tokens=600, cache_write_1h_tokens=400)
    assert cache.use("key", "m", [SHORT, LONG], 2.0) == Extras(cached_tokens=1_000)


def test_reading_extends_the_life_of_a_prefix() -> None:
    cache = PromptCache()
    for now_s in (0.0, 200.0, 400.0):
        cache.use("key", "m", [SHORT], now_s)
    assert cache.use("key", "m", [SHORT], 699.0).cached_tokens == 600
    assert cache.use("key", "m", [SHORT], 1_000.0).cached_tokens == 0


def test_another_key_or_model_shares_no_prefix() -> None:
    cache = PromptCache()
    cache.use("key", "m", [SHORT], 0.0)
    assert cache.use("other", "m", [SHORT], 1.0).cached_tokens == cache.use("key", "n", [SHORT], 1.0).cached_tokens == 0


def test_the_oldest_prefix_is_forgotten_first() -> None:
    cache = PromptCache()
    cache.use("key", "m", [SHORT], 0.0)
    for number in range(MAX_PREFIXES):
        cache.use("key", "m", [CachePoint(digest=b"%d" % number, tokens=1)], 1.0)
    assert cache.use("key", "m", [SHORT], 2.0).cached_tokens == 0


def test_a_prefix_that_is_only_read_is_never_written_and_lives_on_where_it_is_held() -> None:
    cache = PromptCache()
    glance = CachePoint(digest=b"short", tokens=600, writes=False)
    assert cache.use("key", "m", [glance], 0.0) == cache.use("key", "m", [glance], 1.0) == Extras()
    cache.use("key", "m", [SHORT], 2.0)
    assert cache.use("key", "m", [glance, LONG], 200.0) == Extras(cached_tokens=600, cache_write_1h_tokens=400)
    assert cache.use("key", "m", [glance], 499.0).cached_tokens == 600
