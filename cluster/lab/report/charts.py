"""Draws a report's charts as SVG with Altair: lines with their names beside them, stacked areas, bars. No axis lies."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

from cluster.lab.report.downsampling import Points
from cluster.lab.report.page import Figure, LegendKey
from cluster.lab.report.palette import GREY, INK, QUIET, RULE, Colour

APART_PX = 13
"""How near two labels may come to each other."""
_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class XAxis:
    """What the axis below counts; `names` gives some places of it a name of their own, and those alone."""

    title: str
    low: float
    high: float
    names: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class YAxis:
    """An upright axis, from its foot to its top."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def px(self, value: float, height_px: int) -> float:
        """Return how far below the plot's top a value stands."""
        return (1 - self._part(value)) * height_px

    def value(self, px: float, height_px: int) -> float:
        part = 1 - px / height_px
        return self.low * (self.high / self.low) ** part if self.log else self.low + part * (self.high - self.low)

    def _part(self, value: float) -> float:
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis(high: float, whole: bool) -> YAxis:
    """Return an axis from zero to a round figure that is not below `high`."""
    high = high or 1.0
    step = _round_up(high / _TICKS)
    if whole:
        step = max(1.0, math.ceil(step))
    count = max(1, math.ceil(high / step - 1e-9))
    return YAxis(low=0.0, high=step * count, ticks=tuple(round(step * tick, 9) for tick in range(count + 1)))


def log_axis(seen: Sequence[float]) -> YAxis:
    """Return an axis of whole powers of ten that holds every value above zero."""
    positive = [value for value in seen if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)
    ticks = tuple(float(f"{digit}e{power}") for power in range(low, high) for digit in (1, 2, 5))
    return YAxis(low=10.0**low, high=10.0**high, ticks=(*ticks, 10.0**high), log=True)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= value * (1 - 1e-9))


def spread(places_px: Sequence[float], height_px: float) -> list[float]:
    """Return places for labels, in the same order, none nearer to another than a line's height where there is room."""
    order = sorted(range(len(places_px)), key=lambda index: (places_px[index], index))
    placed = list(places_px)
    for before, after in itertools.pairwise(order):
        placed[after] = max(placed[after], placed[before] + APART_PX)
    limit_px = height_px
    for index in reversed(order):
        placed[index] = min(placed[index], limit_px)
        limit_px = placed[index] - APART_PX
    return placed


VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
WIDE_PX, NARROW_PX = 720, 358
LABEL_PX = 11
PLAIN = ",.6~f"
# Altair checks each part against its whole schema, which takes longer than the drawing; the compiler refuses it too.
unchecked = debug_mode(False)
Mark = Literal["area", "bar", "line", "point", "rule", "text"]
LONGEST_LABEL_PX = {WIDE_PX: 150, NARROW_PX: 110}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLine:
    """A line and the name that stands at its end; the line breaks where a value is not known."""

    label: str
    colour: Colour
    points: Points
    dash: tuple[int, ...] = ()
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A straight line across: what must hold."""

    label: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar, its name before it and its figure, in words, behind it."""

    label: str
    value: float
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """The plot's place in its picture. Fixed, so that charts below each other share their axis."""

    whole_px: int
    height_px: int
    left_px: int
    right_px: int

    @property
    def plot_px(self) -> int:
        return self.whole_px - self.left_px - self.right_px


@unchecked
def line_chart(
    title: str,
    about: str,
    lines: Sequence[ChartLine],
    x: XAxis,
    *,
    levels: Sequence[TargetLine] = (),
    moments: Sequence[float] = (),
    whole: bool = False,
    log: bool = False,
    high: float | None = None,
    height_px: int = 150,
) -> Figure:
    """Return lines over one axis; `whole` counts in whole numbers, `moments` are marked by upright lines.

    `high` is where the upright axis ends at least, so that two charts can have the same.
    """
    seen = [y for line in lines for _, y in line.points if y is not None] + [level.value for level in levels]
    y = log_axis(seen) if log else axis(max([*seen, high or 0.0]), whole)

    def draw(whole_px: int) -> str:
        room = _Room(whole_px=whole_px, height_px=height_px, left_px=52, right_px=118 if whole_px == WIDE_PX else 92)
        across, upright = _across(x, room), _upright(y)
        drawn = [_level(level, x) for level in levels] + [_line(line, x, y) for line in lines]
        drawn.append(_labels(lines, levels, x, y, height_px))
        layers = [layer.encode(x=across, y=upright) for layer in drawn]
        return _svg([_moments(moments).encode(x=across), *layers], room)

    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX))


@unchecked
def area_chart(title: str, about: str, areas: Sequence[ChartLine], x: XAxis, height_px: int = 150) -> Figure:
    """Return areas one upon the other, the first at the bottom; what their colours mean stands above."""
    # Where one of them is not known there is no sum: the areas go straight on to the next that is.
    unknown = {at for area in areas for at, value in area.points if value is None}
    rows = [
        {"x": at, "y": value, "area": area.label, "order": order}
        for order, area in enumerate(areas)
        for at, value in area.points
        if at not in unknown
    ]
    y = axis(_highest_sum(areas, unknown), whole=False)
    scale = alt.Scale(domain=[area.label for area in areas], range=[area.colour.light for area in areas])
    colour = alt.Color(field="area", type="nominal", scale=scale, legend=None)
    order = alt.Order(field="order", type="quantitative")
    layer = _marks(rows, "area").encode(color=colour, order=order)

    def draw(whole_px: int) -> str:
        room = _Room(whole_px=whole_px, height_px=height_px, left_px=52, right_px=16)
        return _svg([layer.encode(x=_across(x, room), y=_upright(y))], room)

    keys = tuple(LegendKey(label=area.label, colour=area.colour) for area in areas)
    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX), keys=keys)


@unchecked
def bar_chart(title: str, about: str, bars: Sequence[Bar]) -> Figure:
    """Return lying bars from zero, in the order given."""
    # A place of its own for each bar: two of one name stay two.
    rows = [
        {"place": place, "label": " ".join(bar.label.split()), "value": bar.value, "text": bar.text}
        | {"colour": bar.colour.light}
        for place, bar in enumerate(bars)
    ]
    high = max([bar.value for bar in bars], default=0.0) or 1.0

    def draw(whole_px: int) -> str:
        # A reader's letters may be wider than those the label is cut by.
        left_px = round(1.2 * LONGEST_LABEL_PX[whole_px])
        room = _Room(whole_px=whole_px, height_px=26 * len(bars), left_px=left_px, right_px=96)
        place = alt.Y(field="place", type="ordinal", axis=None, scale=alt.Scale(padding=0.25))
        length = alt.X(field="value", type="quantitative", axis=None, scale=alt.Scale(domain=[0, high]))
        colour = alt.Color(field="colour", type="nominal", scale=None)
        drawn = _marks(rows, "bar").encode(y=place, x=length, color=colour)
        words = _marks(rows, "text", align="left", dx=6, fill=INK.light)
        names = _marks(rows, "text", align="right", dx=-8, fill=INK.light, limit=LONGEST_LABEL_PX[whole_px])
        words = words.encode(y=place, x=length, text=_text("text"))
        names = names.encode(y=place, x=alt.value(0), text=_text("label"))
        return _svg([drawn, words, names], room, bottom_px=4)

    return Figure(title=title, about=about, wide=draw(WIDE_PX), narrow=draw(NARROW_PX))


def _highest_sum(areas: Sequence[ChartLine], unknown: set[float]) -> float:
    sums: Counter[float] = Counter()
    for area in areas:
        sums.update({at: value for at, value in area.points if at not in unknown and value is not None})
    return max(sums.values(), default=0.0)


def _labels(lines: Sequence[ChartLine], levels: Sequence[TargetLine], x: XAxis, y: YAxis, height_px: int) -> alt.Chart:
    """Return the names at the right: each in its line's colour, at the height where the line ends."""
    named = [(line.label, line.colour, _last(line.points)) for line in lines]
    named += [(level.label, GREY, level.value) for level in levels]
    shown = [(label, colour, value) for label, colour, value in named if value is not None]
    places_px = spread([y.px(value, height_px) for _, _, value in shown], height_px)
    rows = [
        {"x": x.high, "y": y.value(place_px, height_px), "label": label, "colour": colour.light}
        for (label, colour, _), place_px in zip(shown, places_px, strict=True)
    ]
    colour = alt.Color(field="colour", type="nominal", scale=None)
    mark = _marks(rows, "text", align="left", baseline="middle", dx=8)
    return mark.encode(text=_text("label"), color=colour)


def _last(points: Points) -> float | None:
    return next((y for _, y in reversed(points) if y is not None), None)


def _line(line: ChartLine, x: XAxis, y: YAxis) -> alt.Chart:
    # What is below a logarithmic axis stands at its foot.
    rows = [{"x": at, "y": None if value is None else max(value, y.low)} for at, value in line.points]
    if line.steps and rows:
        rows.append({"x": x.high, "y": rows[-1]["y"]})
    if len([row for row in rows if row["y"] is not None]) == 1:
        return _marks(rows, "point", filled=True, size=36, fill=line.colour.light)
    shape = "step-after" if line.steps else "linear"
    dash = list(line.dash) or [1, 0]
    return _marks(rows, "line", interpolate=shape, stroke=line.colour.light, strokeWidth=1.75, strokeDash=dash)


def _level(level: TargetLine, x: XAxis) -> alt.Chart:
    rows = [{"x": x.low, "y": level.value}, {"x": x.high, "y": level.value}]
    return _marks(rows, "line", stroke=GREY.light, strokeWidth=1, strokeDash=[2, 3])


def _moments(moments: Sequence[float]) -> alt.Chart:
    rows = [{"x": at} for at in moments]
    return _marks(rows, "rule", stroke=QUIET.light, strokeWidth=1, strokeDash=[1, 3])


def _across(x: XAxis, room: _Room) -> alt.X:
    scale = alt.Scale(domain=[x.low, x.high], nice=False, zero=False)
    plain: dict[str, Any] = {"title": x.title, "grid": False, "labelOverlap": True, "labelFlush": True}
    if x.names:
        named = "".join(f"datum.value === {at!r} ? {json.dumps(name)} : " for at, name in x.names)
        axis = alt.Axis(values=[at for at, _ in x.names], labelExpr=f"{named}''", **plain)
    else:
        axis = alt.Axis(format=PLAIN, tickCount=8 if room.whole_px == WIDE_PX else 4, **plain)
    return alt.X(field="x", type="quantitative", scale=scale, axis=axis)


def _upright(y: YAxis) -> alt.Y:
    scale = alt.Scale(type="log" if y.log else "linear", domain=[y.low, y.high], nice=False, zero=False)
    axis = alt.Axis(values=list(y.ticks), format=PLAIN, title=None, labelOverlap=True)
    return alt.Y(field="y", type="quantitative", scale=scale, axis=axis)


def _text(field: str) -> alt.Text:
    return alt.Text(field=field, type="nominal")


def _marks(rows: Sequence[dict[str, Any]], kind: Mark, **looks: Any) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)), mark=alt.MarkDef(type=kind, **looks))


def _svg(layers: Sequence[alt.Chart], room: _Room, bottom_px: int = 40) -> str:
    """Return the picture, its colours the palette's light ones and nothing behind it."""
    chart = alt.LayerChart(layer=list(layers), width=room.plot_px, height=room.height_px)
    padding = {"left": room.left_px, "right": room.right_px, "top": 8, "bottom": bottom_px}
    spec = chart.to_dict(validate=False) | {
        "background": None,
        "padding": padding,
        "autosize": {"type": "none"},
        "config": _CONFIG,
    }
    return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)


_CONFIG = {
    "aria": False,
    "font": "sans-serif",
    "view": {"stroke": None},
    "text": {"fontSize": LABEL_PX},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": RULE.light,
        "labelColor": QUIET.light,
        "titleColor": QUIET.light,
        "titleFontWeight": "normal",
        "labelFontSize": LABEL_PX,
        "titleFontSize": LABEL_PX,
        "labelPadding": 6,
        "titlePadding": 6,
    },
}
