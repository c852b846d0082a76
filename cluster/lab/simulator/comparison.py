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
        overridden(under, {"seed": seed})
        for policy in policies
        for under in [with_policy(experiment, policy)]
        for seed in numbers
    ]
    summaries = list(run_all(experiments, processes))
    return [_compared(policy, summaries[at * seeds : (at + 1) * seeds]) for at, policy in enumerate(policies)]


def save_comparison(directory: Path, scenario: str, command: str, seeds: int, compared: Sequence[PolicyResult]) -> None:
    """Write `compare.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {"scenario": scenario, "command": command, "seeds": seeds, "policies": [asdict(one) for one in compared]}
    (directory / "compare.json").write_text(json.dumps(document, indent=2), "utf-8")


def interval(values: Sequence[float | None]) -> ComparedFigure | None:
    """Return the mean and half its 95 % interval."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    if len(known) == 1:
        return ComparedFigure(mean=known[0], within=None)
    freedom = len(known) - 1
    factor = STUDENT[freedom - 1] if freedom <= len(STUDENT) else NORMAL
    return ComparedFigure(mean=statistics.fmean(known), within=factor * statistics.stdev(known) / math.sqrt(len(known)))


def _compared(policy: str, summaries: Sequence[Summary]) -> PolicyResult:
    totals = [summary.totals for summary in summaries]
    return PolicyResult(
        policy=policy,
        slo_missing_s=interval([one.slo_missing_s for one in totals]),
        replica_hours=interval([replica_hours(summary) for summary in summaries]),
        p95_ms=interval([one.p95_ms for one in totals]),
        shed_percent=interval([None if one.shed_share is None else 100 * one.shed_share for one in totals]),
    )
