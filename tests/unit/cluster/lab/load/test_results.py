"""The counts of all shards add up in the tables of one run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from cluster.config.validate import check_file
from cluster.lab.load.local_shards import RoomTarget, split
from cluster.lab.load.prometheus import AppSamples
from cluster.lab.load.results import DrivenLoad, RunNotes, run_of
from cluster.lab.load.tally import FrameOutcome, ShardCounts, Tally, Timed, merge_counts, merge_progress
from cluster.lab.results import record
from cluster.lab.scenario.arrivals import draw_rooms
from cluster.lab.scenario.scenario import Scenario

ROOT = Path(__file__).parents[5]
SCENARIO = Scenario.model_validate(
    {
        "name": "one",
        "length_s": 10,
        "warm_up_s": 2,
        "arrivals": {"kind": "steady", "rooms": 6},
        "targets": {"p95_ms": 500, "own_p95_ms": 10, "shed_share": 0.5},
    }
)
ROOMS = draw_rooms(SCENARIO, Path())


def shard_counts(shard: int) -> ShardCounts:
    """Return three frames a second of one tenant: a repeat, an answer after 100 ms, and a shed or failed one."""
    tally = Tally(SCENARIO.length_s, 2)
    for second in range(10):
        for number in range(3):
            tally.add_seen(second + number / 4, shard, repeat=number == 0, late_s=0.001)
        tally.add_frame(
            second + 0.25,
            shard,
            FrameOutcome.ANSWERED,
            Timed(whole_s=0.1, own_s=0.02, cost_nanousd=5, output_tokens=30),
        )
        tally.add_frame(second + 0.5, shard, FrameOutcome.SHED if shard else FrameOutcome.FAILED)
    tally.add_question(5.0, shard, FrameOutcome.ANSWERED, Timed(whole_s=0.9, own_s=0.1, cost_nanousd=7))
    return tally.counts()


def load_run(elapsed_s: float = 10.0) -> record.Run:
    samples = AppSamples()
    samples.replicas += [
        {"at_s": at_s, "deployment": "vision", "running_replicas": running}
        for at_s, running in ((0, 1), (4, 3), (8, 2))
    ]
    counts = merge_counts([shard_counts(0), shard_counts(1)])
    driven = DrivenLoad(scenario=SCENARIO, rooms=ROOMS, tenants=2, counts=counts, samples=samples, elapsed_s=elapsed_s)
    notes = RunNotes(kind="replay", command="rayroom load one", started_at=dt.datetime(2026, 11, 25, tzinfo=dt.UTC))
    return run_of(driven, check_file(ROOT / "serve_config.yaml"), notes)


def test_every_second_adds_up_and_the_totals_exclude_the_warm_up() -> None:
    run = load_run()
    totals = run.summary.totals
    assert run.traffic.num_rows == 10
    for row in run.traffic.to_pylist():
        assert row["seen"] == row["repeats"] + row["kept"] == 6
        assert row["kept"] == row["answered"] + row["shed"] + row["failed"] == 4
    assert (totals.seen, totals.answered, totals.shed, totals.failed) == (48, 16, 8, 8)
    assert totals.seconds == 8 and totals.rooms_peak == 6
    assert totals.cost_nanousd == 16 * 5 + 2 * 7
    assert totals.room_hours == pytest.approx(6 * 8 / 3_600)


def test_targets_are_compared_with_the_measured_values() -> None:
    run = load_run()
    assert {verdict.target: verdict.held for verdict in run.summary.verdicts} == {
        "p95_ms": True,
        "own_p95_ms": False,
        "shed_share": True,
    }
    # The own time misses its target in every second after the warm-up.
    assert run.summary.totals.slo_missing_s == 8


def test_replica_seconds_count_each_sample_until_the_next() -> None:
    assert load_run().summary.totals.replica_seconds == {"vision": 2 * 1 + 4 * 3 + 2 * 2}


def test_latency_is_reported_by_service_and_part() -> None:
    rows = {
        (row["service"], row["part"]): row["ms"] for row in load_run().latency.to_pylist() if row["quantile"] == 0.95
    }
    assert rows[("vision", "whole")] == pytest.approx(100) and rows[("vision", "own")] == pytest.approx(20)
    assert rows[("llm", "whole")] == pytest.approx(900)


def test_a_tenant_has_its_cost_and_the_hypothetical_costs() -> None:
    first, second = load_run().tenants.to_pylist()
    assert (first["tenant"], first["seen"], first["kept"], first["answered"], first["cost_nanousd"]) == (
        "load-1", 30, 20, 10, 50
    )  # fmt: skip
    assert second["every_frame_nanousd"] > second["changed_only_nanousd"] >= second["changed_small_nanousd"] > 0


def test_a_stopped_load_reports_only_its_elapsed_seconds() -> None:
    run = load_run(elapsed_s=4.2)
    assert run.traffic.num_rows == 5
    assert sum(run.traffic["seen"].to_pylist()) == 60


def test_every_room_is_in_one_shard() -> None:
    target = RoomTarget(url="http://x", agent_key="k", run_id="r", recordings_directory=Path(), replay=True)
    shards = split(SCENARIO, ROOMS, 2, target, 4)
    numbers = np.concatenate([shard.numbers for shard in shards])
    assert sorted(numbers) == list(range(len(ROOMS)))
    assert sorted(np.concatenate([shard.rooms.join_at_s for shard in shards])) == sorted(ROOMS.join_at_s)


def test_merged_progress_sums_counts_and_keeps_the_worst_times() -> None:
    tally = Tally(5, 1)
    tally.add_seen(0.0, 0, repeat=False, late_s=0.0)
    tally.add_frame(0.0, 0, FrameOutcome.ANSWERED, Timed(whole_s=0.3, own_s=0.1))
    merged = merge_progress([tally.progress(), Tally(5, 1).progress()])
    assert (merged.seen, merged.kept, merged.answered) == (1, 1, 1) and merged.p95_ms == pytest.approx(300)
