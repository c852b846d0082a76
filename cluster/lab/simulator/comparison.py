"""Compare policies over the same seeds: the mean of each figure and its confidence interval."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.lab.results.record import Summary
from cluster.lab.simulator.experiment import Experiment
from cluster.lab.simulator.overrides import overridden, with_policy
from cluster.lab.simulator.parallel import run_all
from cluster.lab.simulator.sweep import replica_hours

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for a 95 % interval, by degrees of freedom from 1; beyond these the normal distribution is close."""
NORMAL = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFigure:
    """A mean over the seeds; `within` is half the 95 % interval, None for a single seed."""

    mean: float
    within: float | None

    def __str__(self) -> str:
        return f"{self.mean:,.2f}" if self.within is None else f"{self.mean:,.2f} ± {self.within:,.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """One policy over all seeds. A figure that a seed lacks is None."""

    policy: str
    slo_missing_s: ComparedFigure | None
    replica_hours: ComparedFigure | None
    p95_ms: ComparedFigure | None
    shed_percent: ComparedFigure | None


def compare(experiment: Experiment, policies: Sequence[str], seeds: int, processes: int | None) -> list[PolicyResult]:
    """Return each policy's figures over the scenario's seed and its successors; raises ConfigurationError."""
    numbers = range(experiment.scenario.seed, experiment.scenario.seed + seeds)
    experiments = [
        overridden(varied, {"seed": seed})
        for policy in policies
        for varied in [with_policy(experiment, policy)]
        for seed in numbers
    ]
    summaries = list(run_all(experiments, processes))
    return [_compared(policy, summaries[index * seeds : (index + 1) * seeds]) for index, policy in enumerate(policies)]


def save_comparison(directory: Path, scenario: str, command: str, seeds: int, compared: Sequence[PolicyResult]) -> None:
    """Write `compare.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "scenario": scenario,
        "command": command,
        "seeds": seeds,
        "policies": [asdict(result) for result in compared],
    }
    (directory / "compare.json").write_text(json.dumps(document, indent=2), "utf-8")


def interval(values: Sequence[float | None]) -> ComparedFigure | None:
    """Return the mean and half its 95 % interval."""
    samples = [value for value in values if value is not None]
    if not samples or len(samples) < len(values):
        return None
    if len(samples) == 1:
        return ComparedFigure(mean=samples[0], within=None)
    degrees = len(samples) - 1
    factor = STUDENT[degrees - 1] if degrees <= len(STUDENT) else NORMAL
    return ComparedFigure(
        mean=statistics.fmean(samples), within=factor * statistics.stdev(samples) / math.sqrt(len(samples))
    )


def _compared(policy: str, summaries: Sequence[Summary]) -> PolicyResult:
    totals = [summary.totals for summary in summaries]
    return PolicyResult(
        policy=policy,
        slo_missing_s=interval([total.slo_missing_s for total in totals]),
        replica_hours=interval([replica_hours(summary) for summary in summaries]),
        p95_ms=interval([total.p95_ms for total in totals]),
        shed_percent=interval([None if total.shed_share is None else 100 * total.shed_share for total in totals]),
    )
