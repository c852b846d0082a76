"""Measures the simulation of 100,000 rooms for an hour of virtual time on one core."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rich.console import Console

from cluster.config.validate import check_file
from cluster.lab.results.record import Run
from cluster.lab.scenario.recorded_screens import load_recordings
from cluster.lab.scenario.scenario import load_scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.experiment import Experiment, simulate
from tests.benchmarks.machine import machine_is_busy

ROOT = Path(__file__).parents[2]
GOAL_S = 60.0
SCENARIO = ROOT / "docs/hundred-thousand.yaml"


def run() -> tuple[Run, float]:
    """Return the simulated hour and its CPU seconds; the screens are drawn before the measurement."""
    app = check_file(ROOT / "serve_config.yaml")
    scenario, directory = load_scenario(str(SCENARIO))
    recordings = load_recordings(scenario.rooms)
    experiment = Experiment(
        scenario=scenario,
        directory=directory,
        app=app,
        recordings=recordings,
        assumptions=Assumptions(starts_at_once=100),
    )
    began_s = time.process_time()
    return simulate(experiment), time.process_time() - began_s


def main() -> int:
    """Print the figures; return 1 if the goal is missed, 2 if the machine is too busy."""
    if machine_is_busy("--force" in sys.argv):
        return 2
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run_result, cpu_s = run()
    totals = run_result.summary.totals
    console = Console(highlight=False)
    console.print(f"{totals.rooms_peak:,} rooms for an hour: {cpu_s:.1f} s of one core (goal {GOAL_S:.0f})")
    share = totals.kept / totals.seen
    console.print(f"{totals.seen:,} frames seen, {totals.kept:,} kept ({share:.1%}), {totals.answered:,} answered")
    return int(cpu_s > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
