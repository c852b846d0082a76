"""How long an emulated model takes: as its profile says, one seed the same, and no time at all when asked."""

from __future__ import annotations

import random

import pytest

from cluster.lab.emulator.core.latency import LatencyModel
from deployments.providers.simulated import load_profiles

MODEL = "gpt-4o"


def test_without_a_speed_nothing_takes_time() -> None:
    latency = LatencyModel(random.Random(1))
    assert latency.first_token_s(MODEL) == latency.next_token_s(MODEL) == 0.0


def test_first_tokens_come_as_the_profile_says_and_a_crowd_makes_them_late() -> None:
    alone, crowded = (LatencyModel(random.Random(1), speed=1.0) for _ in range(2))
    times_s = sorted(alone.first_token_s(MODEL) for _ in range(400))
    late_s = sorted(crowded.first_token_s(MODEL, slowdown=3.0) for _ in range(400))
    assert 1_000 * times_s[200] == pytest.approx(load_profiles()[MODEL].first_token_ms, rel=0.1)
    assert late_s == pytest.approx([3 * time_s for time_s in times_s])


def test_one_seed_draws_the_same_times() -> None:
    first, second, other = ([LatencyModel(random.Random(seed), 2.0).first_token_s(MODEL)] for seed in (1, 1, 2))
    assert first == second != other


def test_a_model_without_a_row_takes_the_default_time() -> None:
    latency = LatencyModel(random.Random(1), speed=1.0)
    assert latency.next_token_s("unheard of") == 1 / load_profiles()["default"].tokens_per_s
