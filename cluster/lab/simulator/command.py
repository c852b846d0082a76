"""The commands `rayroom simulate` and `rayroom validate`: read, simulate, print, save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from cluster.config.validate import check_file
from cluster.lab.report import report
from cluster.lab.results import record
from cluster.lab.scenario.scenario import load_scenario
from cluster.lab.simulator import tables
from cluster.lab.simulator.comparison import compare, save_comparison
from cluster.lab.simulator.experiment import Experiment, simulate
from cluster.lab.simulator.overrides import overridden, parse_assignments, parse_value, with_policy
from cluster.lab.simulator.sweep import parse_grid, save_sweep, sweep
from cluster.lab.simulator.validation import validate
from routing.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """The options of the command line."""

    scenario: str
    config: Path
    command: str
    policy: str | None = None
    seed: int | None = None
    out: Path | None = None
    changes: Sequence[str] = ()
    grid: Sequence[str] = ()
    policies: str | None = None
    seeds: int = 5
    processes: int | None = None


def run_simulation(options: SimulateOptions, console: Console) -> int:
    """Run the command; return 0 if the targets held. Raises ConfigurationError before anything starts."""
    if options.grid and options.policies:
        raise ConfigurationError("--sweep and --compare: ask for one of them at a time.", "compare")
    experiment = read_experiment(options)
    if options.grid:
        return _sweep(options, experiment, console)
    if options.policies:
        return _compare(options, experiment, console)
    return _simulate(options, experiment, console)


def run_validation(directories: Sequence[Path], config: Path, console: Console) -> int:
    """Validate live runs; return 0 if every figure is within the goal."""
    app = check_file(config)
    validated = [validate(directory, app) for directory in directories]
    console.print(tables.validations(validated))
    for run in validated:
        for note in run.notes:
            console.print(f"{run.name}: {note}", markup=False)
    return 0 if all(row.within_goal for run in validated for row in run.differences) else 1


def read_experiment(options: SimulateOptions) -> Experiment:
    """Return the experiment to simulate; raises ConfigurationError naming the invalid key."""
    scenario, directory = load_scenario(options.scenario)
    experiment = Experiment(scenario=scenario, directory=directory, app=check_file(options.config))
    changes = {key: parse_value(text) for key, text in parse_assignments(options.changes, "--set").items()}
    if options.seed is not None:
        changes["seed"] = options.seed
    experiment = overridden(experiment, changes)
    return with_policy(experiment, options.policy) if options.policy else experiment


def _simulate(options: SimulateOptions, experiment: Experiment, console: Console) -> int:
    length_s = experiment.scenario.length_s
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(experiment.scenario.name, total=length_s)
        run = simulate(experiment, options.command, lambda now_s: progress.update(task, completed=now_s))
    for line in tables.run_lines(run.summary):
        console.print(line, highlight=False, markup=False)
    directory = _directory(options, experiment)
    record.save(run, directory)
    console.print(f"report: {report.write(run, directory)}", highlight=False, markup=False)
    return 0 if all(verdict.held for verdict in run.summary.verdicts) else 1


def _sweep(options: SimulateOptions, experiment: Experiment, console: Console) -> int:
    points = sweep(experiment, parse_grid(options.grid), options.processes)
    console.print(tables.frontier(points))
    directory = _directory(options, experiment)
    save_sweep(directory, experiment.scenario.name, options.command, points)
    console.print(f"kept: {directory / 'sweep.json'}", highlight=False, markup=False)
    return 0


def _compare(options: SimulateOptions, experiment: Experiment, console: Console) -> int:
    names = [name.strip() for name in (options.policies or "").split(",") if name.strip()]
    compared = compare(experiment, names, options.seeds, options.processes)
    console.print(tables.policies(compared, options.seeds))
    directory = _directory(options, experiment)
    save_comparison(directory, experiment.scenario.name, options.command, options.seeds, compared)
    console.print(f"kept: {directory / 'compare.json'}", highlight=False, markup=False)
    return 0


def _directory(options: SimulateOptions, experiment: Experiment) -> Path:
    return options.out or Path(".rayroom") / "simulate" / experiment.scenario.name
