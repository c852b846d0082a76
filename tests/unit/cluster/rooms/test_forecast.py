"""Replicas follow the rooms, not the queue; without a signal Ray's own policy decides."""

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
    RoomsAheadSettings,
    RoomSignal,
    WantedReplicas,
    decide,
    demand_ahead,
    learn,
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


def decided(
    signal: RoomSignal | None, deployment: Deployment = "vision", load: DeploymentLoad = LOAD
) -> WantedReplicas:
    return decide(signal, deployment, load, answer_s=0.8, ray_wants=7.0, settings=SETTINGS)


def test_rooms_that_stay_get_what_they_ask_over_what_a_replica_answers() -> None:
    assert decided(QUIET).replicas == pytest.approx(100 * 0.2 / 10, rel=1e-3)
    assert decided(QUIET, "llm").replicas == pytest.approx(1)


def test_the_router_gets_what_all_services_are_asked() -> None:
    assert decided(QUIET, "router").replicas == pytest.approx(100 * 0.25 / 10, rel=1e-3)


def test_rooms_that_join_are_counted_a_cold_start_ahead_each_with_its_first_frame() -> None:
    joining = replace(QUIET, joins_per_s=10.0, growth_per_s=10.0)
    assert demand_ahead(joining, "vision", 0.2, SETTINGS) == pytest.approx((100 + 10 * 5) * 0.2 + 10)
    assert demand_ahead(joining, "llm", 0.2, SETTINGS) == pytest.approx((100 + 10 * 5) * 0.2)


def test_what_is_old_is_taken_further_ahead() -> None:
    joining = replace(QUIET, joins_per_s=10.0, growth_per_s=10.0)
    assert demand_ahead(replace(joining, age_s=2.0), "vision", 0.2, SETTINGS) > demand_ahead(
        joining, "vision", 0.2, SETTINGS
    )


def test_without_a_signal_or_with_a_stale_one_ray_decides() -> None:
    assert decided(None).replicas == 7.0
    stale = decided(replace(QUIET, age_s=SETTINGS.stale_s + 1))
    assert stale.replicas == 7.0 and stale.why.startswith("ray: the signal is 11 s old")


def test_of_a_deployment_that_the_rooms_say_nothing_of_ray_decides() -> None:
    assert decided(QUIET, "embeddings").why == "ray: no requests reported for embeddings"


def test_a_floor_stands_while_any_room_is_open_and_no_longer() -> None:
    one = replace(QUIET, open_rooms=1)
    assert decided(one, load=replace(LOAD, target_replicas=0)).replicas == 1
    assert decided(replace(QUIET, open_rooms=0), load=replace(LOAD, target_replicas=0)).replicas == 0


def test_many_replicas_do_not_go_at_once() -> None:
    assert decided(replace(QUIET, open_rooms=1), load=replace(LOAD, target_replicas=40)).replicas == 10


def test_what_an_answer_takes_is_learned_by_littles_law_but_not_from_a_queue() -> None:
    learned = 0.8
    for _ in range(500):
        learned = learn(learned, replace(LOAD, ongoing=40.0), requests_per_s=20.0)
    assert learned == pytest.approx(2.0, rel=0.01)
    assert learn(0.8, replace(LOAD, ongoing=400.0, queued=50.0), requests_per_s=20.0) == 0.8


def test_rooms_that_come_as_others_go_are_no_growth() -> None:
    churn = replace(QUIET, joins_per_s=10.0)
    assert demand_ahead(churn, "llm", 0.2, SETTINGS) == pytest.approx(100 * 0.2)


def test_a_burst_is_seen_while_it_lasts_and_one_moment_is_none() -> None:
    traffic = RoomTraffic()
    traffic.add_joins(0.2, 50)
    assert traffic.signal(0.6, 50).joins_per_s == 0.0
    for at_s in (10.0, 10.5, 11.0):
        traffic.add_joins(at_s, 20)
        traffic.add_leaves(at_s, 5)
    seen = traffic.signal(11.5, 100)
    assert (seen.joins_per_s, seen.growth_per_s) == (40.0, 30.0)
    assert traffic.signal(13.0, 100).joins_per_s == 0.0


def test_what_a_room_asks_is_a_mean_over_rooms_and_seconds() -> None:
    traffic = RoomTraffic()
    for second in range(1, 10):
        traffic.add_requests(second, room_s=50, vision=10, llm=1)
    assert traffic.signal(9.0, 50).requests_per_room_s == {"llm": pytest.approx(0.02), "vision": pytest.approx(0.2)}


def beat(at_s: float, counters: dict[str, float]) -> RoomHeartbeat:
    return RoomHeartbeat(
        room="tenant_acme_x", tenant_id="acme", job_id="j1", beat_at_s=at_s, opened_at_s=0.0, counters=counters
    )


def test_the_room_book_tells_what_its_heartbeats_say_without_a_rooms_first_frame() -> None:
    book = RoomRegistry()
    book.beat(beat(100.0, {}))
    book.beat(beat(102.0, {"frames_kept": 3.0, "voice_answers": 1.0}))
    book.beat(beat(104.0, {"frames_kept": 5.0, "voice_answers": 1.0}))
    signal = book.signal(104.0)
    assert signal.open_rooms == 1 and signal.room_s == 4.0
    assert signal.requests_per_room_s == {"vision": 1.0, "llm": 0.25}
    book.close("tenant_acme_x", "j1", 0.0, 105.0)
    assert book.signal(105.0).open_rooms == 0 and book.traffic.steps[-1].leaves == 1


def context(config: AutoscalingConfig, state: dict[str, Any]) -> AutoscalingContext:
    return AutoscalingContext(
        deployment_id=None,  # type: ignore[arg-type] # nobody reads it
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


def test_serve_makes_the_policy_of_the_configuration_and_it_answers_as_ray_does_until_it_hears_the_rooms() -> None:
    config = autoscaling_config("vision", ScalingSettings(policy="rooms-ahead", max_replicas=8))
    made = config.policy.get_policy()(**config.policy.policy_kwargs)
    replicas, state = made(context(config, {}))
    assert replicas == 80 / 16 and state["why"] == "ray: no signal"


def test_what_was_learned_travels_in_serves_policy_state_and_its_loss_is_a_fresh_start() -> None:
    config = autoscaling_config("vision", ScalingSettings(max_replicas=8))
    policy = RoomsAhead("vision", {"answer_s": 0.8}, signals=lambda: QUIET)
    _, state = policy(context(config, {"rooms_ahead_answer_s": 4.0}))
    assert state["rooms_ahead_answer_s"] == pytest.approx(4.0, rel=0.01)
    _, fresh = policy(context(config, {}))
    assert fresh["rooms_ahead_answer_s"] < 1.0


@pytest.mark.parametrize(
    "path", ["no.such.module:Policy", "cluster.aggregator.autoscaling_policy:NoSuch", "cluster.rooms.registry:SILENT_S"]
)
def test_a_policy_that_does_not_import_is_named_before_anything_starts(path: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        imported_policy(path)
    assert path in refused.value.message
