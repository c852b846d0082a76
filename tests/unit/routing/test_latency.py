"""The median latency of a model covers its last answers, for a bounded number of models."""

from __future__ import annotations

import random
from statistics import median

import pytest

from routing.latency import (
    FEWEST_FOR_P99,
    MAX_MODELS,
    MAX_SAMPLES,
    MIN_SAMPLES,
    ModelLatencies,
    RecentLatencies,
    first_token_limit_s,
)


def test_the_median_covers_only_the_most_recent_latencies() -> None:
    rng, recent = random.Random(1), RecentLatencies()
    drawn = [rng.lognormvariate(-1, 0.5) for _ in range(4 * MAX_SAMPLES)]
    for latency_s in drawn:
        recent.add(latency_s)
    assert recent.median_s() == sorted(drawn[-MAX_SAMPLES:])[MAX_SAMPLES // 2]
    assert recent.median_s() == pytest.approx(median(drawn[-MAX_SAMPLES:]), rel=0.1)


def test_the_median_is_unknown_with_too_few_latencies() -> None:
    latencies = ModelLatencies()
    for _ in range(MIN_SAMPLES - 1):
        latencies.add("a", 0.1)
    assert latencies.median_s("a") is None and latencies.median_s("b") is None
    latencies.add("a", 0.1)
    assert latencies.median_s("a") == 0.1


def test_the_least_recently_used_model_is_evicted() -> None:
    latencies = ModelLatencies()
    for name in [*map(str, range(MAX_MODELS)), "0", "one more"]:
        for _ in range(MIN_SAMPLES):
            latencies.add(name, 1.0)
    assert latencies.median_s("0") == 1.0 and latencies.median_s("1") is None


def test_a_p99_is_of_the_last_latencies_once_they_are_enough() -> None:
    rng, recent = random.Random(2), RecentLatencies()
    drawn = [rng.lognormvariate(-1, 0.5) for _ in range(4 * MAX_SAMPLES)]
    for latency_s in drawn:
        recent.add(latency_s)
    above = [latency_s for latency_s in drawn[-MAX_SAMPLES:] if latency_s > (recent.p99_s(99.0) or 0.0)]
    assert len(above) == MAX_SAMPLES // 100


def test_too_few_latencies_leave_the_published_p99_unless_one_of_them_is_longer() -> None:
    latencies = ModelLatencies()
    assert latencies.p99_s("a", None) is None and latencies.p99_s("a", 2.0) == 2.0
    latencies.add("a", 1.0)
    assert latencies.p99_s("a", None) is None and latencies.p99_s("a", 2.0) == 2.0
    latencies.add("a", 3.0)
    assert latencies.p99_s("a", 2.0) == 3.0
    for _ in range(FEWEST_FOR_P99 + MAX_SAMPLES):
        latencies.add("a", 0.5)
    assert latencies.p99_s("a", 2.0) == 0.5


def test_the_wait_for_a_first_token_is_the_p99_within_its_bounds() -> None:
    assert [first_token_limit_s(p99_s, 2.0, 5.0) for p99_s in (None, 0.5, 3.0, 9.0)] == [5.0, 2.0, 3.0, 5.0]
