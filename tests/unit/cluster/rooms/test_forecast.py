"""Replicas follow the number of open rooms; without a signal Ray's own policy decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from cluster.aggregator.autoscaling_policy import RoomsAhead, imported_policy
from cluster.app import autoscaling_config
from cluster.config.settings import ScalingSettings
from cluster.rooms.forecast import (
    Deployment,
    DeploymentLoad,
    ReplicaTarget,
    RoomsAheadSettings,
    RoomSignal,
    decide,
    forecast_demand,
    joined_signal,
    updated_answer_s,
)
from cluster.rooms.rates import RoomTraffic
from cluster.rooms.registry import RoomRegistry
from routing.errors import ConfigurationError
from routing.models import RoomHeartbeat

SETTINGS = RoomsAheadSettings(requests_per_s=10, ahead_s=5)
QUIET = RoomSignal(
    open_rooms=100,
    joins_per_s=0.0,
    growth_per_s=0.0,
    requests_per_room_s={"vision": 0.2, "llm": 0.05},
    room_s=1e6,
)
LOAD = DeploymentLoad(target_replicas=2, ongoing=20, queued=0, target_ongoing=16)


def decide_replicas(
    signal: RoomSignal | None, deployment: Deployment = "vision", load: DeploymentLoad = LOAD
) -> ReplicaTarget:
    return decide(signal, deployment, load, answer_s=0.8, ray_replicas=7.0, settings=SETTINGS)


def test_replicas_equal_the_demand_divided_by_the_capacity_of_a_replica() -> None:
    assert decide_replicas(QUIET).replicas == pytest.approx(100 * 0.2 / 10, rel=1e-3)
    assert decide_replicas(QUIET, "llm").replicas == pytest.approx(1)


def test_the_router_receives_the_demand_of_all_services() -> None:
    assert decide_replicas(QUIET, "router").replicas == pytest.approx(100 * 0.25 / 10, rel=1e-3)


def test_the_forecast_counts_joining_rooms_and_their_first_frames() -> None:
    joining = replace(QUIET, joins_per_s=10.0, growth_per_s=10.0)
    assert forecast_demand(joining, "vision", 0.2, SETTINGS) == pytest.approx((100 + 10 * 5) * 0.2 + 10)
    assert forecast_demand(joining, "llm", 0.2, SETTINGS) == pytest.approx((100 + 10 * 5) * 0.2)


def test_an_older_signal_is_extrapolated_further() -> None:
    joining = replace(QUIET, joins_per_s=10.0, growth_per_s=10.0)
    assert forecast_demand(replace(joining, age_s=2.0), "vision", 0.2, SETTINGS) > forecast_demand(
        joining, "vision", 0.2, SETTINGS
    )


def test_ray_decides_if_the_signal_is_missing_or_stale() -> None:
    assert decide_replicas(None).replicas == 7.0
    stale = decide_replicas(replace(QUIET, age_s=SETTINGS.stale_s + 1))
    assert stale.replicas == 7.0 and stale.reason.startswith("ray: the signal is 11 s old")


def test_ray_decides_for_a_deployment_without_reported_requests() -> None:
    assert decide_replicas(QUIET, "embeddings").reason == "ray: no requests reported for embeddings"


def test_the_floor_applies_only_while_a_room_is_open() -> None:
    single_room = replace(QUIET, open_rooms=1)
    assert decide_replicas(single_room, load=replace(LOAD, target_replicas=0)).replicas == 1
    assert decide_replicas(replace(QUIET, open_rooms=0), load=replace(LOAD, target_replicas=0)).replicas == 0


def test_a_step_removes_a_limited_share_of_the_replicas() -> None:
    assert decide_replicas(replace(QUIET, open_rooms=1), load=replace(LOAD, target_replicas=40)).replicas == 10


def test_the_answer_time_is_learned_by_littles_law_unless_requests_queue() -> None:
    answer_s = 0.8
    for _ in range(500):
        answer_s = updated_answer_s(answer_s, replace(LOAD, ongoing=40.0), requests_per_s=20.0)
    assert answer_s == pytest.approx(2.0, rel=0.01)
    assert updated_answer_s(0.8, replace(LOAD, ongoing=400.0, queued=50.0), requests_per_s=20.0) == 0.8


def test_equal_joins_and_departures_are_no_growth() -> None:
    churn = replace(QUIET, joins_per_s=10.0)
    assert forecast_demand(churn, "llm", 0.2, SETTINGS) == pytest.approx(100 * 0.2)


def test_a_burst_raises_the_join_rate_and_a_single_step_does_not() -> None:
    traffic = RoomTraffic()
    traffic.add_joins(0.2, 50)
    assert traffic.signal(0.6, 50).joins_per_s == 0.0
    for at_s in (10.0, 10.5, 11.0):
        traffic.add_joins(at_s, 20)
        traffic.add_leaves(at_s, 5)
    signal = traffic.signal(11.5, 100)
    assert (signal.joins_per_s, signal.growth_per_s) == (40.0, 30.0)
    assert traffic.signal(13.0, 100).joins_per_s == 0.0


def test_the_request_rate_is_a_mean_over_rooms_and_seconds() -> None:
    traffic = RoomTraffic()
    for second in range(1, 10):
        traffic.add_requests(second, room_s=50, vision=10, llm=1)
    assert traffic.signal(9.0, 50).requests_per_room_s == {"llm": pytest.approx(0.02), "vision": pytest.approx(0.2)}


def heartbeat(at_s: float, counters: dict[str, float]) -> RoomHeartbeat:
    return RoomHeartbeat(
        room="tenant_acme_x", tenant_id="acme", job_id="j1", beat_at_s=at_s, opened_at_s=0.0, counters=counters
    )


def test_the_registry_derives_request_rates_without_the_first_frame() -> None:
    registry = RoomRegistry()
    registry.beat(heartbeat(100.0, {}))
    registry.beat(heartbeat(102.0, {"frames_kept": 3.0, "voice_answers": 1.0}))
    registry.beat(heartbeat(104.0, {"frames_kept": 5.0, "voice_answers": 1.0}))
    signal = registry.signal(104.0)
    assert signal.open_rooms == 1 and signal.room_s == 4.0
    assert signal.requests_per_room_s == {"vision": 1.0, "llm": 0.25}
    registry.close("tenant_acme_x", "j1", 0.0, 105.0)
    assert registry.signal(105.0).open_rooms == 0 and registry.traffic.steps[-1].leaves == 1


def context(config: AutoscalingConfig, state: dict[str, Any]) -> AutoscalingContext:
    return AutoscalingContext(
        deployment_id=None,  # type: ignore[arg-type] # never read
        deployment_name="vision",
        app_name="rayroom",
        current_num_replicas=2,
        target_num_replicas=2,
        running_replicas=[],
        total_num_requests=80.0,
        total_queued_requests=0.0,
        aggregated_metrics={},
        raw_metrics={},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state=state,
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=0.0,
        config=config,
    )


def test_serve_builds_the_configured_policy_and_it_follows_ray_without_a_signal() -> None:
    config = autoscaling_config("vision", ScalingSettings(policy="rooms-ahead", max_replicas=8))
    policy = config.policy.get_policy()(**config.policy.policy_kwargs)
    replicas, state = policy(context(config, {}))
    assert replicas == 80 / 16 and state["why"] == "ray: no signal"


def test_the_learned_answer_time_is_kept_in_the_policy_state_of_serve() -> None:
    config = autoscaling_config("vision", ScalingSettings(max_replicas=8))
    policy = RoomsAhead("vision", {"answer_s": 0.8}, signals=lambda: QUIET)
    _, state = policy(context(config, {"rooms_ahead_answer_s": 4.0}))
    assert state["rooms_ahead_answer_s"] == pytest.approx(4.0, rel=0.01)
    _, initial_state = policy(context(config, {}))
    assert initial_state["rooms_ahead_answer_s"] < 1.0


@pytest.mark.parametrize(
    "path", ["no.such.module:Policy", "cluster.aggregator.autoscaling_policy:NoSuch", "cluster.rooms.registry:SILENT_S"]
)
def test_an_error_names_a_policy_that_does_not_import(path: str) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        imported_policy(path)
    assert path in excinfo.value.message


def test_the_signals_of_all_shards_are_one_signal_weighted_by_their_room_seconds() -> None:
    busy = replace(QUIET, joins_per_s=2.0, growth_per_s=1.0, room_s=3e6, requests_per_room_s={"vision": 0.4}, age_s=3.0)
    joined = joined_signal([QUIET, busy])
    assert (joined.open_rooms, joined.joins_per_s, joined.growth_per_s, joined.age_s) == (200, 2.0, 1.0, 3.0)
    assert joined.requests_per_room_s == pytest.approx({"vision": 0.35, "llm": 0.0125})
    assert joined.room_s == 4e6 and joined_signal([QUIET]) == QUIET


def test_the_signal_of_shards_without_rooms_has_no_rates() -> None:
    empty = replace(QUIET, open_rooms=0, requests_per_room_s={}, room_s=0.0)
    assert joined_signal([empty, empty]) == empty
