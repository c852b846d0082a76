"""The private names of Ray are in their place, and Ray's autoscaler runs by virtual time."""

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
def test_ray_still_has(name: str) -> None:
    assert ray_autoscaler.find(name) is not None


def test_a_name_that_ray_has_moved_is_told_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"ray\.serve\._private\.common:NoSuchThing"):
        ray_autoscaler.find("ray.serve._private.common:NoSuchThing")


def test_the_machines_clock_is_back_even_after_an_error() -> None:
    with pytest.raises(RuntimeError), virtual_time(VirtualClock(5.0)):
        assert vars(ray_state)["time"].time() == 5.0
        raise RuntimeError
    assert vars(ray_state)["time"] is time and vars(ray_policy)["time"] is time


def targets(load: dict[float, float], until_s: float) -> list[tuple[float, int]]:
    """Return when the target changed, for a load that changes at some moments; every replica is there at once."""
    clock, decisions = VirtualClock(), []
    with virtual_time(clock):
        scaler = RayAutoscaler("vision", CONFIG, clock, np.random.default_rng(1), replicas=1)
        before = scaler.replicas
        while clock.now_s < until_s:
            clock.now_s = round(clock.now_s + 0.1, 9)
            scaler.set_running(scaler.replicas)
            scaler.observe(0.0, next(many for since, many in reversed(load.items()) if since <= clock.now_s))
            target, _ = scaler.decide()
            if target != before:
                decisions.append((clock.now_s, target))
            before = target
    return decisions


def test_rays_delays_look_back_and_bounds_are_there() -> None:
    found = targets({0.0: 2.0, 20.0: 16.0, 40.0: 2.0, 60.0: 1e6}, until_s=80.0)
    risen = [at_s for at_s, many in found if many == 8]
    fallen = [at_s for at_s, many in found if many == 1]
    assert 22.0 <= risen[0] <= 28.0, "the delay, the push and the look-back lie between a rise and its answer"
    assert 50.0 <= fallen[0] <= 56.0
    assert max(many for _, many in found) == 20


def test_a_policy_of_ones_own_is_wrapped_in_rays_delays() -> None:
    clock = VirtualClock()
    with virtual_time(clock):
        scaler = RayAutoscaler(
            "vision", CONFIG, clock, np.random.default_rng(1), replicas=1, policy=lambda _: (5, {"why": "five"})
        )
        scaler.set_running(1)
        assert scaler.decide() == (1, "five")
        clock.now_s = 2.1
        assert scaler.decide() == (5, "five")
