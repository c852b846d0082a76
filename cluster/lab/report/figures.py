"""Turn a run's tables into charts; two runs give the same charts, one over the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cluster.lab.report import downsampling
from cluster.lab.report.charts import Bar, ChartLine, TargetLine, XAxis, area_chart, bar_chart, line_chart
from cluster.lab.report.cost_breakdown import Ladder
from cluster.lab.report.downsampling import Floats, TimeAxis
from cluster.lab.report.page import Figure
from cluster.lab.report.palette import BLUE, GREY, LINES, ORANGE, PALE_BLUE, PALE_GREY, PURPLE, TEAL, Colour
from cluster.lab.report.words import dollars, milliseconds, times
from cluster.lab.results.record import Run

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
        join: Callable[[Floats], float],
        *,
        dash: tuple[int, ...] = (),
        steps: bool = False,
    ) -> ChartLine:
        found = downsampling.points(table, column, time, join)
        named = f"{label} {self.name}".strip()
        return ChartLine(
            label=named, colour=self.colour or colour, points=found, dash=self.dash if self.name else dash, steps=steps
        )


def clock_of(runs: Sequence[DrawnRun]) -> TimeAxis:
    return downsampling.clock(*(table for one in runs for table in (one.run.traffic, one.run.replicas)))


def time_axis(time: TimeAxis) -> XAxis:
    return XAxis(title=f"{time.unit} from the start", low=0.0, high=max(time.last_s, 1.0) / time.unit_s)


def rooms(runs: Sequence[DrawnRun]) -> Figure | None:
    return _traffic(
        runs, "Open rooms", "how many rooms were open", (("rooms", "rooms", BLUE, downsampling.mean),), whole=True
    )


def frames(run: Run) -> Figure | None:
    """Return the outcomes of the frames seen; each frame has exactly one of the four."""
    time = clock_of([DrawnRun(run=run)])
    parts = (("repeats", PALE_GREY), ("answered", PALE_BLUE), ("shed", ORANGE), ("failed", PURPLE))
    if not all(downsampling.known(run.traffic, name) for name, _ in parts):
        return None
    one = DrawnRun(run=run)
    areas = [one.line(name, colour, run.traffic, name, time, downsampling.mean) for name, colour in parts]
    about = "Over time, how many frames a second were repeats, answered, shed and failed."
    return area_chart("Frames a second, and what became of them", about, areas, time_axis(time))


def kept(runs: Sequence[DrawnRun]) -> Figure | None:
    return _traffic(runs, "Kept frames a second", "how many frames a second were kept", (_KEPT,))


def unanswered(runs: Sequence[DrawnRun]) -> Figure | None:
    what = (("shed", "shed", ORANGE, downsampling.mean), ("failed", "failed", PURPLE, downsampling.mean))
    # With two runs the colour of a line identifies its run, so each run has one line.
    chosen, title = (what, "got no answer") if len(runs) == 1 else (what[:1], "were shed")
    return _traffic(runs, f"Kept frames that {title}, a second", f"how many kept frames {title}", chosen, height_px=100)


def latency(runs: Sequence[DrawnRun]) -> Figure | None:
    """Return the percentiles of each second, their targets, and the moments of faults."""
    what = (("p95_ms", "p95", ORANGE, downsampling.highest), ("p50_ms", "p50", BLUE, downsampling.middle))
    own = (("own_p95_ms", "own p95", TEAL, downsampling.highest),)
    run = runs[0].run
    limits = {one.target: one.limit for one in run.summary.verdicts if one.target in ("p95_ms", "own_p95_ms")}
    levels = [TargetLine(label=f"target {milliseconds(limit)}", value=limit) for limit in limits.values()]
    broken = [
        at_s
        for at_s, kind in zip(run.events["at_s"].to_pylist(), run.events["kind"].to_pylist(), strict=True)
        if kind in ("fault", "node") and at_s is not None
    ]
    title, about = "Answer time, in milliseconds", "the answer time's percentiles"
    chosen = what + own if len(runs) == 1 else what[:1]
    return _traffic(runs, title, about, chosen, levels=levels, moments=broken if len(runs) == 1 else (), height_px=190)


def quantiles(runs: Sequence[DrawnRun], service: str) -> Figure | None:
    """Return the whole distribution of one service's answer time; each step to the right is a tenth of the rest."""
    lines, furthest = [], 0.0
    for one in runs:
        for part, colour, dash in (("whole", BLUE, ()), ("own", TEAL, (5, 3))):
            rows = [row for row in one.run.latency.to_pylist() if (row["service"], row["part"]) == (service, part)]
            points = tuple(
                (_place(row["quantile"]), row["ms"])
                for row in sorted(rows, key=lambda row: float(row["quantile"]))
                if row["quantile"] <= _NEARLY_ALL and row["ms"] is not None
            )
            if points:
                furthest = max(furthest, points[-1][0])
                label = f"{part} {one.name}".strip()
                lines.append(ChartLine(label=label, colour=one.colour or colour, points=points, dash=dash))
    if not lines or not furthest:
        return None
    names = tuple((_place(quantile), name) for quantile, name in _NAMED_QUANTILES if _place(quantile) <= furthest)
    x = XAxis(title="of the answers were faster", low=0.0, high=furthest, names=names)
    about = f"The quantiles of the answer time of {service}, whole and without the vendor's part."
    return line_chart(
        f"Answer time of {service} by quantile, in milliseconds", about, lines, x, log=True, height_px=190
    )


def replicas(runs: Sequence[DrawnRun]) -> tuple[Figure, ...]:
    """Return a chart for each deployment: replicas running, targeted, and wanted by demand."""
    time, drawn = clock_of(runs), []
    for name in _deployments(runs):
        lines = []
        for one in runs:
            table = downsampling.deployments(one.run.replicas).get(name)
            if table is None:
                continue
            lines.append(one.line("running", BLUE, table, "running_replicas", time, downsampling.last, steps=True))
            if len(runs) == 1:
                target = ("target", TEAL, table, "target_replicas", time, downsampling.last)
                lines.append(one.line(*target, dash=(5, 3), steps=True))
                lines.append(one.line("wanted", ORANGE, table, "wanted_replicas", time, downsampling.highest))
        if any(y is not None for line in lines for _, y in line.points):
            about = f"Over time, the replicas of {name}: running, targeted and wanted by demand."
            drawn.append(line_chart(f"{name}: replicas", about, lines, time_axis(time), whole=True, height_px=120))
    return tuple(drawn)


def waiting(runs: Sequence[DrawnRun], column: str, title: str, about: str) -> Figure | None:
    """Return one column of every deployment's load over time."""
    time, lines = clock_of(runs), []
    for one in runs:
        for number, (name, table) in enumerate(downsampling.deployments(one.run.replicas).items()):
            if downsampling.known(table, column):
                colour = LINES[number % len(LINES)]
                points = downsampling.points(table, column, time, downsampling.highest)
                label = f"{name} {one.name}".strip()
                lines.append(ChartLine(label=label, colour=colour, points=points, dash=one.dash))
    return line_chart(title, about, lines, time_axis(time)) if lines else None


def ladder(steps: Ladder) -> Figure | None:
    """Return the steps from the cost of every frame to the actual cost; None if one step is unknown."""
    known = [(label, nanousd) for label, nanousd in steps if nanousd is not None]
    if len(known) < len(steps) or not known[0][1]:
        return None
    before = [None, *(nanousd for _, nanousd in known)]
    bars = [
        Bar(
            label=label,
            value=nanousd / 1e9,
            text=dollars(nanousd) + (f"  {times(last, nanousd)}" if last and nanousd else ""),
            colour=ORANGE if label == known[-1][0] else GREY,
        )
        for (label, nanousd), last in zip(known, before, strict=False)
    ]
    about = "What the frames would have cost, step by step: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return bar_chart("From every frame to what was spent", about, bars)


def tenants(costs: Sequence[tuple[str, int]]) -> Figure | None:
    bars = [Bar(label=name, value=nanousd / 1e9, text=dollars(nanousd), colour=BLUE) for name, nanousd in costs]
    about = "What each tenant spent: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return bar_chart("Spent by tenant", about, bars) if any(bar.value for bar in bars) else None


_What = tuple[str, str, Colour, Callable[[Floats], float]]
_KEPT: _What = ("kept", "kept", BLUE, downsampling.mean)


def _traffic(
    runs: Sequence[DrawnRun],
    title: str,
    about: str,
    what: Sequence[_What],
    *,
    whole: bool = False,
    levels: Sequence[TargetLine] = (),
    moments: Sequence[float] = (),
    height_px: int = 150,
) -> Figure | None:
    """Return columns of the traffic over time; None where no run knows any."""
    time = clock_of(runs)
    lines = [
        one.line(label, colour, one.run.traffic, column, time, join)
        for one in runs
        for column, label, colour, join in what
        if downsampling.known(one.run.traffic, column)
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
        whole=whole,
        height_px=height_px,
    )


def _deployments(runs: Sequence[DrawnRun]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in runs for name in downsampling.deployments(one.run.replicas)))


def _place(quantile: float) -> float:
    return -math.log10(1.0 - quantile)
