"""Ray has all private names in use, and its autoscaler runs in virtual time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import ray.serve._private.autoscaling_state as ray_state
import ray.serve.autoscaling_policy as ray_policy

from cluster.app import autoscaling_config
from cluster.config.settings import ScalingSettings
from cluster.lab.simulator import ray_autoscaler
from cluster.lab.simulator.ray_autoscaler import RayAutoscaler, VirtualClock, virtual_time
from routing.errors import ConfigurationError

CONFIG = autoscaling_config(
    "vision", ScalingSettings(max_replicas=20, target_ongoing_requests=2, upscale_delay_s=2, downscale_delay_s=10)
)


@pytest.mark.parametrize("name", ray_autoscaler.NAMES)
def test_ray_has_every_private_name(name: str) -> None:
    assert ray_autoscaler.find(name) is not None


def test_the_error_for_a_missing_name_of_ray_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r"ray\.serve\._private\.common:NoSuchThing"):
        ray_autoscaler.find("ray.serve._private.common:NoSuchThing")


def test_the_real_clock_is_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError), virtual_time(VirtualClock(5.0)):
        assert vars(ray_state)["time"].time() == 5.0
        raise RuntimeError
    assert vars(ray_state)["time"] is time and vars(ray_policy)["time"] is time


def targets(load: dict[float, float], until_s: float) -> list[tuple[float, int]]:
    """Return the changes of the target for a load that changes over time; replicas start without delay."""
    clock, decisions = VirtualClock(), []
    with virtual_time(clock):
        scaler = RayAutoscaler("vision", CONFIG, clock, np.random.default_rng(1), replicas=1)
        previous = scaler.replicas
        while clock.now_s < until_s:
            clock.now_s = round(clock.now_s + 0.1, 9)
            scaler.set_running(scaler.replicas)
            scaler.observe(0.0, next(requests for from_s, requests in reversed(load.items()) if from_s <= clock.now_s))
            target, _ = scaler.decide()
            if target != previous:
                decisions.append((clock.now_s, target))
            previous = target
    return decisions


def test_the_delays_look_back_and_bounds_of_ray_apply() -> None:
    decisions = targets({0.0: 2.0, 20.0: 16.0, 40.0: 2.0, 60.0: 1e6}, until_s=80.0)
    risen = [at_s for at_s, replicas in decisions if replicas == 8]
    fallen = [at_s for at_s, replicas in decisions if replicas == 1]
    assert 22.0 <= risen[0] <= 28.0, "the delay, the push and the look-back lie between a rise and its answer"
    assert 50.0 <= fallen[0] <= 56.0
    assert max(replicas for _, replicas in decisions) == 20


def test_a_custom_policy_is_subject_to_the_delays_of_ray() -> None:
    clock = VirtualClock()
    with virtual_time(clock):
        scaler = RayAutoscaler(
            "vision", CONFIG, clock, np.random.default_rng(1), replicas=1, policy=lambda _: (5, {"why": "five"})
        )
        scaler.set_running(1)
        assert scaler.decide() == (1, "five")
        clock.now_s = 2.1
        assert scaler.decide() == (5, "five")
