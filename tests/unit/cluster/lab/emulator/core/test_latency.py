"""Emulated latencies follow the profiles, are deterministic for a seed, and can be turned off."""

from __future__ import annotations

import random

import pytest

from cluster.lab.emulator.core.latency import LatencyModel
from deployments.providers.simulated import load_profiles

MODEL = "gpt-4o"


def test_without_a_speed_there_is_no_latency() -> None:
    latency = LatencyModel(random.Random(1))
    assert latency.first_token_s(MODEL) == latency.next_token_s(MODEL) == 0.0


def test_first_token_times_follow_the_profile_and_grow_with_the_load() -> None:
    idle, loaded = (LatencyModel(random.Random(1), speed=1.0) for _ in range(2))
    times_s = sorted(idle.first_token_s(MODEL) for _ in range(400))
    loaded_times_s = sorted(loaded.first_token_s(MODEL, slowdown=3.0) for _ in range(400))
    assert 1_000 * times_s[200] == pytest.approx(load_profiles()[MODEL].first_token_ms, rel=0.1)
    assert loaded_times_s == pytest.approx([3 * time_s for time_s in times_s])


def test_latencies_are_deterministic_for_a_seed() -> None:
    first, second, other = ([LatencyModel(random.Random(seed), 2.0).first_token_s(MODEL)] for seed in (1, 1, 2))
    assert first == second != other


def test_a_model_without_a_profile_has_the_default_latency() -> None:
    latency = LatencyModel(random.Random(1), speed=1.0)
    assert latency.next_token_s("unknown") == 1 / load_profiles()["default"].tokens_per_s
