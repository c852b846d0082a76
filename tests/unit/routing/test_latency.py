"""The median latency of a model covers its last answers, for a bounded number of models."""

from __future__ import annotations

import random
from statistics import median

import pytest

from routing.latency import MAX_MODELS, MAX_SAMPLES, MIN_SAMPLES, ModelLatencies, RecentLatencies


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
