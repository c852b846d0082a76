"""The options of `rayroom simulate` are checked by key before anything runs, and its output can be read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from rich.console import Console

from cluster.lab.results import record
from cluster.lab.simulator.command import SimulateOptions, read_experiment, run_simulation
from cluster.lab.simulator.comparison import compare, interval
from cluster.lab.simulator.experiment import simulate
from cluster.lab.simulator.overrides import overridden, parse_assignments, with_policy
from cluster.lab.simulator.sweep import SweepPoint, mark, parse_grid, save_sweep, sweep
from cluster.lab.simulator.validation import differences, measured, start_times, validate
from routing.errors import ConfigurationError
from tests.support.experiments import ROOT, experiment, screens

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such key": ({"target_ongoing": 3}, "target_ongoing"),
    "no such path": ({"arrivals.people.rooms": 3}, "arrivals.people.rooms"),
    "no such key of the model": ({"model.own_msec": 3}, "model.own_msec"),
    "a value that is none": ({"max_replicas": "many"}, "scenario.scaling.vision.max_replicas"),
    "bounds crossed": ({"min_replicas": 9}, "min_replicas 9 is more than max_replicas"),
    "a cold start that ends before it begins": ({"model.cold_start_to_s": 0.1}, "cold_start_to_s 0.1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_of_set_or_sweep_is_named(name: str) -> None:
    changes, said = WRONG[name]
    with pytest.raises(ConfigurationError) as refused:
        overridden(experiment(), changes)
    assert said in refused.value.message


@pytest.mark.parametrize("text", ["max_replicas", "=4", "max_replicas="])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be KEY=VALUE"):
        parse_assignments([text], "--set")


def test_a_key_of_scaling_alone_is_set_for_those_that_ask_the_vendors() -> None:
    scaling = overridden(experiment(), {"max_replicas": 9}).scenario.scaling
    assert (scaling.vision.max_replicas, scaling.llm.max_replicas, scaling.router.max_replicas) == (9, 9, 2)


@pytest.mark.parametrize("policy", ["rooms_ahead", "no.such:Policy"])
def test_a_policy_that_is_none_is_named(policy: str) -> None:
    with pytest.raises(ConfigurationError, match=policy):
        with_policy(experiment(), policy)


def test_a_policy_by_its_path_decides() -> None:
    own = with_policy(experiment(), "ray.serve.autoscaling_policy:default_autoscaling_policy")
    assert simulate(own).traffic.equals(simulate(experiment()).traffic)


def test_a_range_doubles_and_ends_where_it_is_told_to() -> None:
    grid = parse_grid(["target_ongoing_requests=2..20", "max_replicas=1,4"])
    assert grid == {"target_ongoing_requests": [2, 4, 8, 16, 20], "max_replicas": [1, 4]}


@pytest.mark.parametrize("text", ["a=9..2", "a=0..8", "a=x..8", "a=1..", "a=" + ",".join("1" * 2_000)])
def test_a_range_that_leads_nowhere_or_too_far_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--sweep"):
        parse_grid([text])


def point(hours: float, p95_ms: float | None) -> SweepPoint:
    return SweepPoint(
        values={"at": hours}, replica_hours=hours, usd=None, p95_ms=p95_ms, slo_missing_s=0, shed_share=0, held=True
    )


def test_the_frontier_is_what_nothing_beats() -> None:
    points = [point(1, 900), point(2, 500), point(3, 600), point(4, None), point(2, 500)]
    assert [one.pareto for one in mark(points)] == [True, True, False, False, True]


def test_a_sweep_keeps_a_row_for_each_combination(tmp_path: Path) -> None:
    small = experiment(length_s=5)
    points = sweep(small, {"max_replicas": [1, 2], "target_ongoing_requests": [4, 8]}, processes=1)
    save_sweep(tmp_path, "test", "rayroom simulate", points)
    kept = json.loads((tmp_path / "sweep.json").read_text())["points"]
    assert [(row["max_replicas"], row["target_ongoing_requests"]) for row in kept] == [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert parquet.read_table(tmp_path / "sweep.parquet").num_rows == 4


def test_processes_find_what_one_finds() -> None:
    small = experiment(length_s=5)
    grid = {"max_replicas": [1, 2]}
    assert sweep(small, grid, processes=2) == sweep(small, grid, processes=1)


def test_an_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found is not None and found.within is not None
    assert (found.mean, round(found.within, 3)) == (2.0, 2.484)
    assert interval([1.0, None]) is None


def test_policies_are_compared_on_the_same_seeds() -> None:
    ray, again = compare(experiment(length_s=10), ["ray", "ray"], seeds=2, processes=1)
    assert ray == again and ray.replica_hours is not None


def test_a_scenario_is_simulated_kept_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("{name: small, length_s: 20, arrivals: {kind: steady, rooms: 5}, targets: {shed_share: 0.5}}")
    asked = SimulateOptions(
        scenario=str(file), config=ROOT / "serve_config.yaml", command="rayroom simulate", out=tmp_path / "out"
    )
    assert run_simulation(asked, Console(quiet=True)) == 0
    assert record.load(tmp_path / "out").summary.kind == "simulate"
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


def test_a_target_that_was_missed_is_told_by_the_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("{name: small, length_s: 20, arrivals: {kind: steady, rooms: 5}, targets: {p95_ms: 1}}")
    asked = SimulateOptions(
        scenario=str(file), config=ROOT / "serve_config.yaml", command="rayroom simulate", out=tmp_path / "out"
    )
    assert run_simulation(asked, Console(quiet=True)) == 1


def test_a_sweep_and_a_comparison_at_once_are_refused() -> None:
    asked = SimulateOptions(scenario="nine-oclock", config=Path("-"), command="", grid=("a=1",), policies="ray")
    with pytest.raises(ConfigurationError, match="one of them at a time"):
        run_simulation(asked, Console(quiet=True))


def test_the_command_lines_seed_comes_first() -> None:
    asked = SimulateOptions(
        scenario="nine-oclock", config=ROOT / "serve_config.yaml", command="", seed=99, changes=("seed=3",)
    )
    assert read_experiment(asked).scenario.seed == 99


def test_how_long_replicas_took_is_read_from_a_live_runs_samples() -> None:
    samples = [(0, 1, 1), (1, 3, 1), (2, 3, 1), (3, 3, 3), (4, 5, 3), (5, 4, 3), (6, 4, 4), (7, None, None), (8, 2, 2)]
    rows = [{"at_s": at_s, "target_replicas": target, "running_replicas": runs} for at_s, target, runs in samples]
    assert start_times(rows) == [2]


def live(directory: Path, **changes: Any) -> record.Run:
    """Save a simulation as if it had been a live run, and return it."""
    run = simulate(experiment(**changes))
    summary = run.summary.model_copy(update={"kind": "load"})
    found = record.Run(summary=summary, **{name: getattr(run, name) for name in record.SCHEMAS})
    record.save(found, directory)
    return found


def test_a_live_runs_own_overhead_is_what_its_simulation_goes_by(tmp_path: Path) -> None:
    run = live(tmp_path)
    assumptions, said = measured(run)
    assert assumptions.own_ms == run.summary.totals.own_p50_ms and said[0].startswith("own time measured")
    assert said[1].startswith("cold start assumed")


def test_a_run_that_simulates_as_it_went_is_within_the_goal(tmp_path: Path) -> None:
    found = live(tmp_path, length_s=60)
    validated = validate(tmp_path, experiment().app, screens())
    assert {row.figure for row in validated.differences} >= {"replica-seconds vision", "p95_ms", "shed_percent"}
    assert all(row.live is not None for row in validated.differences)
    assert all(row.near for row in differences(found.summary.totals, found.summary.totals))


def test_a_simulation_is_not_what_a_simulation_is_held_against(tmp_path: Path) -> None:
    record.save(simulate(experiment(length_s=5)), tmp_path)
    with pytest.raises(ConfigurationError, match="a live run is needed"):
        validate(tmp_path, experiment().app)
