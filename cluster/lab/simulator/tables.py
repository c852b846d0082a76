"""Print simulations on a terminal: the frontier of a sweep, policies side by side, a validation."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cluster.lab.results.record import Summary
from cluster.lab.simulator.comparison import PolicyResult
from cluster.lab.simulator.sweep import SweepPoint, replica_hours
from cluster.lab.simulator.validation import GOAL_PERCENT, FigureDifference, ValidatedRun

UNKNOWN = "-"


def run_lines(summary: Summary) -> list[str]:
    """Return the figures of a run, one line each."""
    totals = summary.totals
    hours = ", ".join(f"{name} {seconds / 3_600:.2f}" for name, seconds in totals.replica_seconds.items())
    lines = [
        f"{summary.name}: {totals.rooms_peak:,} rooms at most, {totals.seen:,} frames seen, {totals.kept:,} kept,"
        f" {totals.answered:,} answered, {totals.shed:,} shed, {totals.failed:,} failed",
        f"p50 {_number(totals.p50_ms)} ms, p95 {_number(totals.p95_ms)} ms; {replica_hours(summary):.2f} replica-hours"
        f" ({hours}); {_number(totals.slo_missing_s)} s beyond the targets",
    ]
    for verdict in summary.verdicts:
        end = "held" if verdict.held else "MISSED"
        lines.append(f"{verdict.target}: {_number(verdict.seen, 4)} of at most {verdict.limit:g}: {end}")
    return lines


def frontier(points: Sequence[SweepPoint]) -> Table:
    """Return every point of a sweep; the frontier is marked."""
    table = Table(title="Cost and latency; * marks the points that no other beats")
    for name in (*points[0].values, "replica-hours", "vendors' USD", "p95 ms", "s beyond targets", "lost %", ""):
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(
            *(Text(str(value)) for value in point.values.values()),
            f"{point.replica_hours:.3f}",
            _number(point.usd, 2),
            _number(point.p95_ms),
            _number(point.slo_missing_s),
            _number(None if point.shed_share is None else 100 * point.shed_share, 2),
            "*" if point.pareto else "",
        )
    return table


def policies(compared: Sequence[PolicyResult], seeds: int) -> Table:
    table = Table(title=f"Mean and 95 % interval over {seeds} seeds")
    for name in ("policy", "s beyond targets", "replica-hours", "p95 ms", "lost %"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for result in compared:
        figures = (result.slo_missing_s, result.replica_hours, result.p95_ms, result.shed_percent)
        table.add_row(Text(result.policy), *(UNKNOWN if figure is None else str(figure) for figure in figures))
    return table


def validations(validated: Sequence[ValidatedRun]) -> Table:
    table = Table(title=f"Live and simulated; the goal is {GOAL_PERCENT:g} % (of lost frames: points)")
    for name in ("scenario", "figure", "live", "simulated", "apart", ""):
        table.add_column(name, justify="left" if name in ("scenario", "figure") else "right")
    for run in validated:
        for row in run.differences:
            table.add_row(
                Text(run.name),
                row.figure,
                _number(row.live, 2),
                _number(row.simulated, 2),
                _difference(row),
                _verdict(row),
            )
    return table


def _difference(row: FigureDifference) -> str:
    if row.difference is None:
        return UNKNOWN
    return f"{row.difference:+.2f} points" if row.figure == "shed_percent" else f"{row.difference:+.1f} %"


def _verdict(row: FigureDifference) -> str:
    return UNKNOWN if row.difference is None else "within" if row.within_goal else "BEYOND"


def _number(value: float | None, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"
