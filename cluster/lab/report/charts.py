"""Draw the report's charts as SVG with Altair: lines with direct labels, stacked areas, and bars."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
from altair.utils.schemapi import debug_mode

from cluster.lab.report.downsampling import Points
from cluster.lab.report.marks import NARROW_PX, WIDE_PX, XAxis, marks, rule, svg, text_of, x_axis, y_axis
from cluster.lab.report.page import Figure, LegendKey
from cluster.lab.report.palette import GREY, INK, QUIET, Colour

LABEL_GAP_PX = 13
"""The minimum distance between two labels at the ends of lines."""
HEIGHT_PX = 150
MAX_LABEL_PX = {WIDE_PX: 150, NARROW_PX: 110}
# Altair validates each part against its whole schema, which takes longer than the drawing. The compiler rejects an
# invalid chart anyway.
unchecked = debug_mode(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """A line with a label at its end; the line breaks where a value is unknown (None)."""

    label: str
    colour: Colour
    points: Points
    dash: tuple[int, ...] = ()
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A horizontal line at the limit of a target."""

    label: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar with its label before it and its value, formatted, behind it."""

    label: str
    value: float
    text: str
    colour: Colour


@unchecked
def line_chart(
    title: str,
    about: str,
    lines: Sequence[ChartLine],
    x: XAxis,
    *,
    levels: Sequence[TargetLine] = (),
    moments: Sequence[float] = (),
    integer_ticks: bool = False,
    log: bool = False,
    height_px: int = HEIGHT_PX,
) -> Figure:
    """Return a chart of lines over one axis.

    `integer_ticks` allows only integers as ticks, `moments` are marked by vertical rules, `log` selects a logarithmic
    vertical axis.
    """
    values = [y for line in lines for _, y in line.points if y is not None] + [level.value for level in levels]
    domain = _log_domain(values) if log else _domain(max(values, default=0.0))
    y = y_axis(domain, log=log, integer_ticks=integer_ticks)
    labels = _labels(lines, levels, x, domain, log, height_px)

    def draw(chart_width_px: int) -> str:
        across = x_axis(x, chart_width_px)
        layers = [rule(moments, QUIET, [1, 3]).encode(x=across)]
        layers += [rule([level.value for level in levels], GREY, [2, 3], "y").encode(y=y)]
        layers += [_line(line, x, domain[0]).encode(x=across, y=y) for line in lines]
        layers += [label.encode(x=across, y=y) for label in labels]
        return svg(layers, chart_width_px, height_px, right_px=118 if chart_width_px == WIDE_PX else 92)

    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX))


@unchecked
def area_chart(title: str, about: str, areas: Sequence[ChartLine], x: XAxis) -> Figure:
    """Return stacked areas, the first at the bottom; a legend above the chart names their colours."""
    # Without one of the values there is no sum: the areas continue straight to the next moment with all of them.
    unknown = {at for area in areas for at, value in area.points if value is None}
    rows = [
        {"x": at, "y": value, "area": area.label, "order": order}
        for order, area in enumerate(areas)
        for at, value in area.points
        if at not in unknown
    ]
    y = y_axis(_domain(_highest_sum(areas, unknown)), log=False, integer_ticks=False)
    scale = alt.Scale(domain=[area.label for area in areas], range=[area.colour.light for area in areas])
    colour = alt.Color(field="area", type="nominal", scale=scale, legend=None)
    order = alt.Order(field="order", type="quantitative")
    layer = marks(rows, "area").encode(color=colour, order=order)

    def draw(chart_width_px: int) -> str:
        return svg([layer.encode(x=x_axis(x, chart_width_px), y=y)], chart_width_px, HEIGHT_PX, right_px=16)

    keys = tuple(LegendKey(label=area.label, colour=area.colour) for area in areas)
    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX), keys=keys)


@unchecked
def bar_chart(title: str, about: str, bars: Sequence[Bar]) -> Figure:
    """Return horizontal bars from zero, in the order given."""
    # Bars are placed by number, because two of them may have the same label.
    rows = [
        {"place": place, "value": bar.value, "text": bar.text, "colour": bar.colour.light}
        for place, bar in enumerate(bars)
    ]
    names = json.dumps([" ".join(bar.label.split()) for bar in bars])
    high = max([bar.value for bar in bars], default=0.0) or 1.0

    def draw(chart_width_px: int) -> str:
        # A fifth wider than the longest label, because a reader's font may be wider than the one measured here.
        max_label_px = MAX_LABEL_PX[chart_width_px]
        left_px = round(1.2 * max_label_px)
        axis = alt.Axis(title=None, labelExpr=f"{names}[datum.value]", labelLimit=max_label_px, labelColor=INK.light)
        place = alt.Y(field="place", type="ordinal", axis=axis, scale=alt.Scale(padding=0.25))
        length = alt.X(field="value", type="quantitative", axis=None, scale=alt.Scale(domain=[0, high]))
        colour = alt.Color(field="colour", type="nominal", scale=None)
        bar_marks = marks(rows, "bar").encode(y=place, x=length, color=colour)
        values = marks(rows, "text", align="left", dx=6, fill=INK.light)
        values = values.encode(y=place, x=length, text=text_of("text"))
        return svg([bar_marks, values], chart_width_px, 26 * len(bars), left_px=left_px, right_px=96, bottom_px=4)

    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX))


def spread(positions_px: Sequence[float], height_px: float) -> list[float]:
    """Return places for labels in the same order, at least `LABEL_GAP_PX` apart where the height allows it."""
    order = sorted(range(len(positions_px)), key=lambda index: (positions_px[index], index))
    placed = list(positions_px)
    for before, after in itertools.pairwise(order):
        placed[after] = max(placed[after], placed[before] + LABEL_GAP_PX)
    limit_px = height_px
    for index in reversed(order):
        placed[index] = min(placed[index], limit_px)
        limit_px = placed[index] - LABEL_GAP_PX
    return placed


def _highest_sum(areas: Sequence[ChartLine], unknown: set[float]) -> float:
    sums: Counter[float] = Counter()
    for area in areas:
        sums.update({at: value for at, value in area.points if at not in unknown and value is not None})
    return max(sums.values(), default=0.0)


def _domain(high: float) -> tuple[float, float]:
    # A twentieth more, so that the highest value does not touch the upper edge.
    return 0.0, 1.05 * (high or 1.0)


def _log_domain(values: Sequence[float]) -> tuple[float, float]:
    positive = [value for value in values if value > 0] or [1.0]
    return min(positive) / 1.25, 1.25 * max(positive)


def _labels(
    lines: Sequence[ChartLine],
    levels: Sequence[TargetLine],
    x: XAxis,
    domain: tuple[float, float],
    log: bool,
    height_px: int,
) -> list[alt.Chart]:
    """Return the labels at the right: each in its line's colour, next to the line's last value."""
    labels = [(line.label, line.colour, _last(line.points)) for line in lines]
    labels += [(level.label, GREY, level.value) for level in levels]
    visible = [(label, colour, value) for label, colour, value in labels if value is not None]
    ends_px = [_px(value, domain, log, height_px) for _, _, value in visible]
    return [
        marks(
            [{"x": x.high, "y": max(value, domain[0]), "label": label}],
            "text",
            align="left",
            baseline="middle",
            dx=8,
            dy=label_px - end_px,
            fill=colour.light,
        ).encode(text=text_of("label"))
        for (label, colour, value), end_px, label_px in zip(visible, ends_px, spread(ends_px, height_px), strict=True)
    ]


def _px(value: float, domain: tuple[float, float], log: bool, height_px: int) -> float:
    """Return the distance of a value from the upper edge. Vega has no text layout that keeps labels apart."""
    low, high = domain
    part = math.log(max(value, low) / low) / math.log(high / low) if log else value / high
    return (1 - part) * height_px


def _last(points: Points) -> float | None:
    return next((y for _, y in reversed(points) if y is not None), None)


def _line(line: ChartLine, x: XAxis, low: float) -> alt.Chart:
    # A logarithmic axis has no zero: smaller values are drawn at its lower end.
    rows = [{"x": at, "y": None if value is None else max(value, low)} for at, value in line.points]
    if line.steps and rows:
        rows.append({"x": x.high, "y": rows[-1]["y"]})
    if len([row for row in rows if row["y"] is not None]) == 1:
        return marks(rows, "point", filled=True, size=36, fill=line.colour.light)
    shape = "step-after" if line.steps else "linear"
    dash = list(line.dash) or [1, 0]
    return marks(rows, "line", interpolate=shape, stroke=line.colour.light, strokeWidth=1.75, strokeDash=dash)
