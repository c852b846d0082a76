"""The counts of shards become one run with tables that add up."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from cluster.config.validate import check_file
from cluster.lab.load.local_shards import RoomTarget, split
from cluster.lab.load.prometheus import AppSamples
from cluster.lab.load.results import DrivenLoad, RunNotes, run_of
from cluster.lab.load.tally import FrameOutcome, ShardCounts, Tally, Timed, joined, summed
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


def counted(shard: int) -> ShardCounts:
    """Three frames a second of one tenant: a repeat, an answer that takes 100 ms, and one that is shed or fails."""
    tally = Tally(SCENARIO.length_s, 2)
    for second in range(10):
        for number in range(3):
            tally.saw(second + number / 4, shard, repeat=number == 0, late_s=0.001)
        tally.frame(
            second + 0.25,
            shard,
            FrameOutcome.ANSWERED,
            Timed(whole_s=0.1, own_s=0.02, cost_nanousd=5, output_tokens=30),
        )
        tally.frame(second + 0.5, shard, FrameOutcome.SHED if shard else FrameOutcome.FAILED)
    tally.question(5.0, shard, FrameOutcome.ANSWERED, Timed(whole_s=0.9, own_s=0.1, cost_nanousd=7))
    return tally.counted()


def made(elapsed_s: float = 10.0) -> record.Run:
    watched = AppSamples()
    watched.replicas += [
        {"at_s": at_s, "deployment": "vision", "running_replicas": running}
        for at_s, running in ((0, 1), (4, 3), (8, 2))
    ]
    both = joined([counted(0), counted(1)])
    driven = DrivenLoad(scenario=SCENARIO, rooms=ROOMS, tenants=2, counted=both, watched=watched, elapsed_s=elapsed_s)
    told = RunNotes(kind="replay", command="rayroom load one", started_at=dt.datetime(2026, 11, 25, tzinfo=dt.UTC))
    return run_of(driven, check_file(ROOT / "serve_config.yaml"), told)


def test_every_second_adds_up_and_the_warm_up_is_in_the_table_but_not_in_the_totals() -> None:
    run = made()
    totals = run.summary.totals
    assert run.traffic.num_rows == 10
    for row in run.traffic.to_pylist():
        assert row["seen"] == row["repeats"] + row["kept"] == 6
        assert row["kept"] == row["answered"] + row["shed"] + row["failed"] == 4
    assert (totals.seen, totals.answered, totals.shed, totals.failed) == (48, 16, 8, 8)
    assert totals.seconds == 8 and totals.rooms_peak == 6
    assert totals.cost_nanousd == 16 * 5 + 2 * 7
    assert totals.room_hours == pytest.approx(6 * 8 / 3_600)


def test_targets_are_held_against_what_was_seen() -> None:
    run = made()
    assert {one.target: one.held for one in run.summary.verdicts} == {
        "p95_ms": True,
        "own_p95_ms": False,
        "shed_share": True,
    }
    # The own share misses in every second after the warm-up.
    assert run.summary.totals.slo_missing_s == 8


def test_replicas_count_for_as_long_as_a_sample_holds() -> None:
    assert made().summary.totals.replica_seconds == {"vision": 2 * 1 + 4 * 3 + 2 * 2}


def test_latency_is_told_by_service_and_part() -> None:
    rows = {(row["service"], row["part"]): row["ms"] for row in made().latency.to_pylist() if row["quantile"] == 0.95}
    assert rows[("vision", "whole")] == pytest.approx(100) and rows[("vision", "own")] == pytest.approx(20)
    assert rows[("llm", "whole")] == pytest.approx(900)


def test_a_tenants_frames_are_priced_beside_what_they_would_have_cost() -> None:
    first, second = made().tenants.to_pylist()
    assert (first["tenant"], first["seen"], first["kept"], first["answered"], first["cost_nanousd"]) == (
        "load-1", 30, 20, 10, 50
    )  # fmt: skip
    assert second["every_frame_nanousd"] > second["changed_only_nanousd"] >= second["changed_small_nanousd"] > 0


def test_a_load_that_was_stopped_tells_of_the_seconds_it_had() -> None:
    run = made(elapsed_s=4.2)
    assert run.traffic.num_rows == 5
    assert sum(run.traffic["seen"].to_pylist()) == 60


def test_every_room_is_in_one_shard() -> None:
    where = RoomTarget(url="http://x", agent_key="k", run_id="r", takes_directory=Path(), replay=True)
    shards = split(SCENARIO, ROOMS, 2, where, 4)
    numbers = np.concatenate([shard.numbers for shard in shards])
    assert sorted(numbers) == list(range(len(ROOMS)))
    assert sorted(np.concatenate([shard.rooms.join_at_s for shard in shards])) == sorted(ROOMS.join_at_s)


def test_the_progress_of_shards_is_summed_and_their_times_are_the_worst() -> None:
    tally = Tally(5, 1)
    tally.saw(0.0, 0, repeat=False, late_s=0.0)
    tally.frame(0.0, 0, FrameOutcome.ANSWERED, Timed(whole_s=0.3, own_s=0.1))
    both = summed([tally.progress(), Tally(5, 1).progress()])
    assert (both.seen, both.kept, both.answered) == (1, 1, 1) and both.p95_ms == pytest.approx(300)
