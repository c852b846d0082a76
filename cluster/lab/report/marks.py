"""The parts that the charts share: axes, marks, and the compiler to SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import vl_convert

from cluster.lab.report.palette import QUIET, RULE, Colour

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
WIDE_PX, NARROW_PX = 720, 358
FONT_PX = 11
AXIS_PX = 52
"""The width of a vertical axis with its labels."""
PLAIN = ",.6~f"
Mark = Literal["area", "bar", "line", "point", "rule", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class XAxis:
    """The horizontal axis: its title and its domain. With `names`, only these values have tick labels."""

    title: str
    low: float
    high: float
    names: tuple[tuple[float, str], ...] = ()


def x_axis(x: XAxis, chart_width_px: int) -> alt.X:
    """Return the horizontal axis of a chart, with fewer ticks on a narrow one."""
    scale = alt.Scale(domain=[x.low, x.high], nice=False, zero=False)
    options: dict[str, Any] = {"title": x.title, "grid": False, "labelOverlap": True, "labelFlush": True}
    if x.names:
        cases = "".join(f"datum.value === {at!r} ? {json.dumps(name)} : " for at, name in x.names)
        axis = alt.Axis(values=[at for at, _ in x.names], labelExpr=f"{cases}''", **options)
    else:
        axis = alt.Axis(format=PLAIN, tickCount=8 if chart_width_px == WIDE_PX else 4, **options)
    return alt.X(field="x", type="quantitative", scale=scale, axis=axis)


def y_axis(domain: tuple[float, float], *, log: bool, integer_ticks: bool) -> alt.Y:
    """Return the vertical axis of a domain; the ticks of a logarithmic one are 1, 2 and 5 of each decade."""
    scale = alt.Scale(type="log" if log else "linear", domain=list(domain), nice=False, zero=False)
    ticks: dict[str, Any] = {"tickCount": min(4, max(1, int(domain[1]))) if integer_ticks else 4}
    if log:
        # By default Vega draws a rule for each of the nine digits of a decade.
        decades = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])))
        ticks = {"values": [digit * 10.0**power for power in decades for digit in (1, 2, 5)]}
    axis = alt.Axis(format=PLAIN, title=None, labelOverlap=True, **ticks)
    return alt.Y(field="y", type="quantitative", scale=scale, axis=axis)


def rule(values: Sequence[float], colour: Colour, dash: list[int], channel: str = "x") -> alt.Chart:
    """Return a line across the chart at each value of a channel."""
    rows = [{channel: value} for value in values]
    return marks(rows, "rule", stroke=colour.light, strokeWidth=1, strokeDash=dash)


def text_of(field: str) -> alt.Text:
    """Return the encoding that writes a field as it stands."""
    return alt.Text(field=field, type="nominal")


def marks(rows: Sequence[dict[str, Any]], kind: Mark, **style: Any) -> alt.Chart:
    """Return one kind of mark for each row."""
    return alt.Chart(alt.InlineData(values=list(rows)), mark=alt.MarkDef(type=kind, **style))


def svg(
    layers: Sequence[alt.Chart],
    chart_width_px: int,
    height_px: int,
    *,
    left_px: int = AXIS_PX,
    right_px: int,
    bottom_px: int = 40,
) -> str:
    """Return the chart in the palette's light colours on a transparent background.

    The margins are fixed rather than fitted to their content, so that the axes of charts below each other line up.
    """
    chart = alt.LayerChart(layer=list(layers), width=chart_width_px - left_px - right_px, height=height_px)
    spec = chart.to_dict(validate=False) | {
        "background": None,
        "padding": {"left": left_px, "right": right_px, "top": 8, "bottom": bottom_px},
        "autosize": {"type": "none"},
        "config": _CONFIG,
    }
    return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)


_CONFIG = {
    "aria": False,
    "font": "sans-serif",
    "view": {"stroke": None},
    "text": {"fontSize": FONT_PX},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": RULE.light,
        "labelColor": QUIET.light,
        "titleColor": QUIET.light,
        "titleFontWeight": "normal",
        "labelFontSize": FONT_PX,
        "titleFontSize": FONT_PX,
        "labelPadding": 6,
        "titlePadding": 6,
    },
}
