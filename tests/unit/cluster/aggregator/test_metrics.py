"""The aggregator's metrics begin at zero, grow by what is new, and name a bounded list of tenants."""

from __future__ import annotations

import pytest
from ray.util import metrics as ray_metrics

from cluster.aggregator.cost_metrics import CostMetrics
from cluster.aggregator.room_metrics import RoomMetrics, TopTenants
from routing.telemetry.aggregator_metrics import COST_METRICS, ROOM_COUNTERS, ROOM_METRICS
from tests.support.recorded_instruments import RecordedInstruments


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> RecordedInstruments:
    seen = RecordedInstruments()
    monkeypatch.setattr(
        "deployments.common.instruments.instrument_of",
        lambda metric, module: seen.make(metric) if module is ray_metrics else None,
    )
    return seen


def test_every_metric_of_the_aggregator_exists_at_zero(seen: RecordedInstruments) -> None:
    CostMetrics(0), RoomMetrics(0)
    for metric in (*COST_METRICS, *ROOM_METRICS):
        assert list(seen.by_name[metric.name].series.values()) == [[0.0]], metric.name


def test_a_figure_without_a_gauge_is_left_out_and_the_others_have_their_shard(seen: RecordedInstruments) -> None:
    CostMetrics(3).show({"open_intents": 7.0, "a_new_figure": 1.0})
    assert seen.values("rayroom_costs_open_intents", shard="3") == [0.0, 7.0]


def test_the_sums_of_agents_are_added_once_though_they_are_shown_every_time(seen: RecordedInstruments) -> None:
    metrics, sums = RoomMetrics(0), dict.fromkeys(ROOM_COUNTERS, 0.0)
    for frames in (4.0, 4.0, 9.0):
        metrics.show(2, {**sums, "frames_seen": frames}, {"acme": 5})
    assert sum(seen.values("rayroom_agent_frames_seen", shard="0")) == 9
    assert seen.values("rayroom_rooms", shard="0")[-1] == 2
    assert seen.values("rayroom_top_tenant_nanousd", shard="0", tenant="acme") == [5, 5, 5]


def test_the_tenants_that_spend_most_are_named_and_all_others_are_one() -> None:
    top = TopTenants(most=2)
    assert top.spend({"a": 5, "b": 9, "c": 7}) == {"b": 9, "c": 7, "other": 5}


def test_names_stay_bounded_over_the_life_of_a_process_and_the_sum_stays_right() -> None:
    top = TopTenants(most=3)
    shown = set[str]()
    for turn in range(50):
        spend = {f"tenant-{turn}-{number}": number for number in range(10)}
        named = top.spend(spend)
        shown |= named.keys()
        assert sum(named.values()) == sum(spend.values())
    assert len(shown) == 4
