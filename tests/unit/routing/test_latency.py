"""A model's median latency is that of its last answers, and only so many models are remembered."""

from __future__ import annotations

import random
from statistics import median

import pytest

from routing.latency import FEWEST, KEPT, MOST_MODELS, ModelLatencies, RecentLatencies


def test_a_median_is_of_the_last_latencies_only() -> None:
    rng, recent = random.Random(1), RecentLatencies()
    drawn = [rng.lognormvariate(-1, 0.5) for _ in range(4 * KEPT)]
    for latency_s in drawn:
        recent.add(latency_s)
    assert recent.median_s() == sorted(drawn[-KEPT:])[KEPT // 2]
    assert recent.median_s() == pytest.approx(median(drawn[-KEPT:]), rel=0.1)


def test_too_few_latencies_have_no_median() -> None:
    latencies = ModelLatencies()
    for _ in range(FEWEST - 1):
        latencies.add("a", 0.1)
    assert latencies.median_s("a") is None and latencies.median_s("b") is None
    latencies.add("a", 0.1)
    assert latencies.median_s("a") == 0.1


def test_the_model_that_answered_longest_ago_is_forgotten() -> None:
    latencies = ModelLatencies()
    for name in [*map(str, range(MOST_MODELS)), "0", "one more"]:
        for _ in range(FEWEST):
            latencies.add(name, 1.0)
    assert latencies.median_s("0") == 1.0 and latencies.median_s("1") is None
