"""Turn a run's tables into charts; two runs share the same charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cluster.lab.report import downsampling
from cluster.lab.report.charts import Bar, ChartLine, TargetLine, area_chart, bar_chart, line_chart
from cluster.lab.report.cost_breakdown import CostSteps
from cluster.lab.report.downsampling import Floats, TimeAxis
from cluster.lab.report.marks import XAxis
from cluster.lab.report.page import Figure
from cluster.lab.report.palette import BLUE, GREY, LINES, ORANGE, PALE_BLUE, PALE_GREY, PURPLE, TEAL, Colour
from cluster.lab.report.words import dollars, milliseconds, times
from cluster.lab.results.record import Run
from routing.units import NANOUSD_PER_USD

_NAMED_QUANTILES = (
    (0.0, "least"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
)
_NEARLY_ALL = 0.999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRun:
    """One run in a chart: the suffix of its line labels (empty if it is the only run), and the style of its lines."""

    run: Run
    name: str = ""
    colour: Colour | None = None
    dash: tuple[int, ...] = ()

    def line(
        self,
        label: str,
        colour: Colour,
        table: pa.Table,
        column: str,
        time: TimeAxis,
        aggregate: Callable[[Floats], float],
        *,
        dash: tuple[int, ...] = (),
        steps: bool = False,
    ) -> ChartLine:
        points = downsampling.points(table, column, time, aggregate)
        full_label = f"{label} {self.name}".strip()
        return ChartLine(
            label=full_label,
            colour=self.colour or colour,
            points=points,
            dash=self.dash if self.name else dash,
            steps=steps,
        )


def shared_clock(runs: Sequence[DrawnRun]) -> TimeAxis:
    return downsampling.clock(
        *(table for drawn_run in runs for table in (drawn_run.run.traffic, drawn_run.run.replicas))
    )


def time_axis(time: TimeAxis) -> XAxis:
    return XAxis(title=f"{time.unit} from the start", low=0.0, high=max(time.last_s, 1.0) / time.unit_s)


def rooms(runs: Sequence[DrawnRun]) -> Figure | None:
    return _traffic(
        runs,
        "Open rooms",
        "how many rooms were open",
        (("rooms", "rooms", BLUE, downsampling.mean),),
        integer_ticks=True,
    )


def frames(run: Run) -> Figure | None:
    """Return the outcomes of the frames seen; each frame has exactly one of the four."""
    time = shared_clock([DrawnRun(run=run)])
    parts = (("repeats", PALE_GREY), ("answered", PALE_BLUE), ("shed", ORANGE), ("failed", PURPLE))
    if not all(downsampling.known(run.traffic, name) for name, _ in parts):
        return None
    drawn_run = DrawnRun(run=run)
    areas = [drawn_run.line(name, colour, run.traffic, name, time, downsampling.mean) for name, colour in parts]
    about = "Over time, how many frames a second were repeats, answered, shed and failed."
    return area_chart("Frames a second, and what became of them", about, areas, time_axis(time))


def kept(runs: Sequence[DrawnRun]) -> Figure | None:
    return _traffic(runs, "Kept frames a second", "how many frames a second were kept", (_KEPT,))


def unanswered(runs: Sequence[DrawnRun]) -> Figure | None:
    columns = (("shed", "shed", ORANGE, downsampling.mean), ("failed", "failed", PURPLE, downsampling.mean))
    # With two runs the colour of a line identifies its run, so each run has one line.
    shown_columns, title = (columns, "got no answer") if len(runs) == 1 else (columns[:1], "were shed")
    return _traffic(
        runs, f"Kept frames that {title}, a second", f"how many kept frames {title}", shown_columns, height_px=100
    )


def latency(runs: Sequence[DrawnRun]) -> Figure | None:
    """Return the percentiles of each second, their targets, and the moments of faults."""
    columns = (("p95_ms", "p95", ORANGE, downsampling.highest), ("p50_ms", "p50", BLUE, downsampling.middle))
    own_columns = (("own_p95_ms", "own p95", TEAL, downsampling.highest),)
    run = runs[0].run
    limits = {
        verdict.target: verdict.limit for verdict in run.summary.verdicts if verdict.target in ("p95_ms", "own_p95_ms")
    }
    levels = [TargetLine(label=f"target {milliseconds(limit)}", value=limit) for limit in limits.values()]
    fault_times_s = [
        at_s
        for at_s, kind in zip(run.events["at_s"].to_pylist(), run.events["kind"].to_pylist(), strict=True)
        if kind in ("fault", "node") and at_s is not None
    ]
    title, about = "Answer time, in milliseconds", "the answer time's percentiles"
    shown_columns = columns + own_columns if len(runs) == 1 else columns[:1]
    return _traffic(
        runs, title, about, shown_columns, levels=levels, moments=fault_times_s if len(runs) == 1 else (), height_px=190
    )


def quantiles(runs: Sequence[DrawnRun], service: str) -> Figure | None:
    """Return the distribution of one service's answer time; each step to the right leaves a tenth of the answers."""
    lines, max_position = [], 0.0
    for drawn_run in runs:
        for part, colour, dash in (("whole", BLUE, ()), ("own", TEAL, (5, 3))):
            rows = [
                row for row in drawn_run.run.latency.to_pylist() if (row["service"], row["part"]) == (service, part)
            ]
            points = tuple(
                (_position(row["quantile"]), row["ms"])
                for row in sorted(rows, key=lambda row: float(row["quantile"]))
                if row["quantile"] <= _NEARLY_ALL and row["ms"] is not None
            )
            if points:
                max_position = max(max_position, points[-1][0])
                label = f"{part} {drawn_run.name}".strip()
                lines.append(ChartLine(label=label, colour=drawn_run.colour or colour, points=points, dash=dash))
    if not lines or not max_position:
        return None
    names = tuple(
        (_position(quantile), name) for quantile, name in _NAMED_QUANTILES if _position(quantile) <= max_position
    )
    x = XAxis(title="of the answers were faster", low=0.0, high=max_position, names=names)
    about = f"The quantiles of the answer time of {service}, whole and without the vendor's part."
    return line_chart(
        f"Answer time of {service} by quantile, in milliseconds", about, lines, x, log=True, height_px=190
    )


def replicas(runs: Sequence[DrawnRun]) -> tuple[Figure, ...]:
    """Return a chart for each deployment: replicas running, targeted, and wanted by demand."""
    time, charts = shared_clock(runs), []
    for name in _deployments(runs):
        lines = []
        for drawn_run in runs:
            table = downsampling.deployments(drawn_run.run.replicas).get(name)
            if table is None:
                continue
            lines.append(
                drawn_run.line("running", BLUE, table, "running_replicas", time, downsampling.last, steps=True)
            )
            if len(runs) == 1:
                target = ("target", TEAL, table, "target_replicas", time, downsampling.last)
                lines.append(drawn_run.line(*target, dash=(5, 3), steps=True))
                lines.append(drawn_run.line("wanted", ORANGE, table, "wanted_replicas", time, downsampling.highest))
        if any(y is not None for line in lines for _, y in line.points):
            about = f"Over time, the replicas of {name}: running, targeted and wanted by demand."
            charts.append(
                line_chart(f"{name}: replicas", about, lines, time_axis(time), integer_ticks=True, height_px=120)
            )
    return tuple(charts)


def waiting(runs: Sequence[DrawnRun], column: str, title: str, about: str) -> Figure | None:
    """Return one column of every deployment's load over time."""
    time, lines = shared_clock(runs), []
    for drawn_run in runs:
        for number, (name, table) in enumerate(downsampling.deployments(drawn_run.run.replicas).items()):
            if downsampling.known(table, column):
                colour = LINES[number % len(LINES)]
                points = downsampling.points(table, column, time, downsampling.highest)
                label = f"{name} {drawn_run.name}".strip()
                lines.append(ChartLine(label=label, colour=colour, points=points, dash=drawn_run.dash))
    return line_chart(title, about, lines, time_axis(time)) if lines else None


def cost_steps(steps: CostSteps) -> Figure | None:
    """Return the steps from the cost of every frame to the actual cost; None if one step is unknown."""
    known = [(label, nanousd) for label, nanousd in steps if nanousd is not None]
    if len(known) < len(steps) or not known[0][1]:
        return None
    previous = [None, *(nanousd for _, nanousd in known)]
    bars = [
        Bar(
            label=label,
            value=nanousd / NANOUSD_PER_USD,
            text=dollars(nanousd) + (f"  {times(previous_nanousd, nanousd)}" if previous_nanousd and nanousd else ""),
            colour=ORANGE if label == known[-1][0] else GREY,
        )
        for (label, nanousd), previous_nanousd in zip(known, previous, strict=False)
    ]
    about = "What the frames would have cost, step by step: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return bar_chart("From every frame to what was spent", about, bars)


def tenants(costs: Sequence[tuple[str, int]]) -> Figure | None:
    bars = [
        Bar(label=name, value=nanousd / NANOUSD_PER_USD, text=dollars(nanousd), colour=BLUE) for name, nanousd in costs
    ]
    about = "What each tenant spent: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return bar_chart("Spent by tenant", about, bars) if any(bar.value for bar in bars) else None


_TrafficLine = tuple[str, str, Colour, Callable[[Floats], float]]
_KEPT: _TrafficLine = ("kept", "kept", BLUE, downsampling.mean)


def _traffic(
    runs: Sequence[DrawnRun],
    title: str,
    about: str,
    columns: Sequence[_TrafficLine],
    *,
    integer_ticks: bool = False,
    levels: Sequence[TargetLine] = (),
    moments: Sequence[float] = (),
    height_px: int = 150,
) -> Figure | None:
    """Return columns of the traffic over time, or None if no run has them."""
    time = shared_clock(runs)
    lines = [
        drawn_run.line(label, colour, drawn_run.run.traffic, column, time, aggregate)
        for drawn_run in runs
        for column, label, colour, aggregate in columns
        if downsampling.known(drawn_run.run.traffic, column)
    ]
    if not lines:
        return None
    at = [moment_s / time.unit_s for moment_s in moments]
    return line_chart(
        title,
        f"Over time, {about}.",
        lines,
        time_axis(time),
        levels=levels,
        moments=at,
        integer_ticks=integer_ticks,
        height_px=height_px,
    )


def _deployments(runs: Sequence[DrawnRun]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for drawn_run in runs for name in downsampling.deployments(drawn_run.run.replicas)))


def _position(quantile: float) -> float:
    return -math.log10(1.0 - quantile)
