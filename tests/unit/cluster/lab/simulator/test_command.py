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

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no such key": ({"target_ongoing": 3}, "target_ongoing"),
    "no such path": ({"arrivals.people.rooms": 3}, "arrivals.people.rooms"),
    "no such key of the model": ({"model.own_msec": 3}, "model.own_msec"),
    "a value that is none": ({"max_replicas": "many"}, "scenario.scaling.vision.max_replicas"),
    "bounds crossed": ({"min_replicas": 9}, "min_replicas 9 is more than max_replicas"),
    "a cold start that ends before it begins": ({"model.cold_start_to_s": 0.1}, "cold_start_to_s 0.1"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_key_of_set_or_sweep_is_named(name: str) -> None:
    changes, message = INVALID[name]
    with pytest.raises(ConfigurationError) as excinfo:
        overridden(experiment(), changes)
    assert message in excinfo.value.message


@pytest.mark.parametrize("text", ["max_replicas", "=4", "max_replicas="])
def test_a_malformed_assignment_is_rejected(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be KEY=VALUE"):
        parse_assignments([text], "--set")


def test_a_scaling_key_without_a_deployment_applies_to_vision_and_llm() -> None:
    scaling = overridden(experiment(), {"max_replicas": 9}).scenario.scaling
    assert (scaling.vision.max_replicas, scaling.llm.max_replicas, scaling.router.max_replicas) == (9, 9, 2)


@pytest.mark.parametrize("policy", ["rooms_ahead", "no.such:Policy"])
def test_an_unknown_policy_is_named(policy: str) -> None:
    with pytest.raises(ConfigurationError, match=policy):
        with_policy(experiment(), policy)


def test_a_policy_can_be_given_by_its_path() -> None:
    own = with_policy(experiment(), "ray.serve.autoscaling_policy:default_autoscaling_policy")
    assert simulate(own).traffic.equals(simulate(experiment()).traffic)


def test_a_range_doubles_up_to_its_end() -> None:
    grid = parse_grid(["target_ongoing_requests=2..20", "max_replicas=1,4"])
    assert grid == {"target_ongoing_requests": [2, 4, 8, 16, 20], "max_replicas": [1, 4]}


@pytest.mark.parametrize("text", ["a=9..2", "a=0..8", "a=x..8", "a=1..", "a=" + ",".join("1" * 2_000)])
def test_an_invalid_or_too_long_range_is_rejected(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--sweep"):
        parse_grid([text])


def point(hours: float, p95_ms: float | None) -> SweepPoint:
    return SweepPoint(
        values={"at": hours}, replica_hours=hours, usd=None, p95_ms=p95_ms, slo_missing_s=0, shed_share=0, held=True
    )


def test_the_frontier_holds_the_points_that_no_other_beats() -> None:
    points = [point(1, 900), point(2, 500), point(3, 600), point(4, None), point(2, 500)]
    assert [marked.pareto for marked in mark(points)] == [True, True, False, False, True]


def test_a_sweep_saves_a_row_for_each_combination(tmp_path: Path) -> None:
    short = experiment(length_s=5)
    points = sweep(short, {"max_replicas": [1, 2], "target_ongoing_requests": [4, 8]}, processes=1)
    save_sweep(tmp_path, "test", "rayroom simulate", points)
    rows = json.loads((tmp_path / "sweep.json").read_text())["points"]
    assert [(row["max_replicas"], row["target_ongoing_requests"]) for row in rows] == [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert parquet.read_table(tmp_path / "sweep.parquet").num_rows == 4


def test_parallel_processes_give_the_same_result() -> None:
    short = experiment(length_s=5)
    grid = {"max_replicas": [1, 2]}
    assert sweep(short, grid, processes=2) == sweep(short, grid, processes=1)


def test_an_interval_uses_students_t() -> None:
    result = interval([1.0, 2.0, 3.0])
    assert result is not None and result.within is not None
    assert (result.mean, round(result.within, 3)) == (2.0, 2.484)
    assert interval([1.0, None]) is None


def test_policies_are_compared_on_the_same_seeds() -> None:
    ray, second = compare(experiment(length_s=10), ["ray", "ray"], seeds=2, processes=1)
    assert ray == second and ray.replica_hours is not None


def test_a_simulation_saves_its_run_and_report(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("{name: small, length_s: 20, arrivals: {kind: steady, rooms: 5}, targets: {shed_share: 0.5}}")
    options = SimulateOptions(
        scenario=str(file), config=ROOT / "serve_config.yaml", command="rayroom simulate", out=tmp_path / "out"
    )
    assert run_simulation(options, Console(quiet=True)) == 0
    assert record.load(tmp_path / "out").summary.kind == "simulate"
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


def test_a_missed_target_sets_the_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("{name: small, length_s: 20, arrivals: {kind: steady, rooms: 5}, targets: {p95_ms: 1}}")
    options = SimulateOptions(
        scenario=str(file), config=ROOT / "serve_config.yaml", command="rayroom simulate", out=tmp_path / "out"
    )
    assert run_simulation(options, Console(quiet=True)) == 1


def test_a_sweep_with_a_comparison_is_rejected() -> None:
    options = SimulateOptions(scenario="nine-oclock", config=Path("-"), command="", grid=("a=1",), policies="ray")
    with pytest.raises(ConfigurationError, match="one of them at a time"):
        run_simulation(options, Console(quiet=True))


def test_the_seed_of_the_command_line_overrides_the_scenario() -> None:
    options = SimulateOptions(
        scenario="nine-oclock", config=ROOT / "serve_config.yaml", command="", seed=99, changes=("seed=3",)
    )
    assert read_experiment(options).scenario.seed == 99


def test_start_times_are_measured_from_the_samples_of_a_live_run() -> None:
    samples = [(0, 1, 1), (1, 3, 1), (2, 3, 1), (3, 3, 3), (4, 5, 3), (5, 4, 3), (6, 4, 4), (7, None, None), (8, 2, 2)]
    rows = [{"at_s": at_s, "target_replicas": target, "running_replicas": runs} for at_s, target, runs in samples]
    assert start_times(rows) == [2]


def live_run(directory: Path, **changes: Any) -> record.Run:
    """Save a simulation as a live run, and return it."""
    run = simulate(experiment(**changes))
    summary = run.summary.model_copy(update={"kind": "load"})
    saved = record.Run(summary=summary, **{name: getattr(run, name) for name in record.SCHEMAS})
    record.save(saved, directory)
    return saved


def test_the_simulation_of_a_live_run_uses_its_measured_overhead(tmp_path: Path) -> None:
    run = live_run(tmp_path)
    assumptions, notes = measured(run)
    assert assumptions.own_ms == run.summary.totals.own_p50_ms and notes[0].startswith("own time measured")
    assert notes[1].startswith("cold start assumed")


def test_a_run_that_equals_its_simulation_is_within_the_goal(tmp_path: Path) -> None:
    run = live_run(tmp_path, length_s=60)
    validated = validate(tmp_path, experiment().app, screens())
    assert {row.figure for row in validated.differences} >= {"replica-seconds vision", "p95_ms", "shed_percent"}
    assert all(row.live is not None for row in validated.differences)
    assert all(row.within_goal for row in differences(run.summary.totals, run.summary.totals))


def test_a_simulation_cannot_be_validated_against_a_simulation(tmp_path: Path) -> None:
    record.save(simulate(experiment(length_s=5)), tmp_path)
    with pytest.raises(ConfigurationError, match="a live run is needed"):
        validate(tmp_path, experiment().app)
