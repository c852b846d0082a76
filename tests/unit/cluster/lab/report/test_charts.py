"""A chart's axes fit its values, and its labels do not cover each other."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from cluster.lab.report.charts import LABEL_GAP_PX, ChartLine, area_chart, line_chart, spread
from cluster.lab.report.marks import XAxis
from cluster.lab.report.palette import BLUE, PALE_BLUE, PALE_GREY


def ticks(*values: float, integer_ticks: bool = False, log: bool = False) -> list[float]:
    """Return the tick labels of the vertical axis of a chart with one line through the values."""
    line = ChartLine(label="line", colour=BLUE, points=tuple((float(at), value) for at, value in enumerate(values)))
    figure = line_chart(
        "t", "t", [line], XAxis(title="s", low=0, high=1, names=((0.0, "start"),)), integer_ticks=integer_ticks, log=log
    )
    return [float(text.replace(",", "")) for text in re.findall(r">([\d.,]+)</text>", figure.wide)]


def test_an_unknown_value_is_a_gap_in_an_area_chart() -> None:
    complete = ChartLine(label="a", colour=PALE_BLUE, points=((0.0, 40.0), (1.0, 40.0), (2.0, 40.0)))
    gap = ChartLine(label="b", colour=PALE_GREY, points=((0.0, 40.0), (1.0, None), (2.0, 40.0)))
    with_gap = area_chart("t", "t", [complete, gap], XAxis(title="s", low=0, high=2))
    without_gap = [replace(line, points=(line.points[0], line.points[2])) for line in (complete, gap)]
    assert with_gap.wide == area_chart("t", "t", without_gap, XAxis(title="s", low=0, high=2)).wide


def test_an_axis_starts_at_zero_with_round_ticks_up_to_the_highest_value() -> None:
    assert ticks(197.0, 3.0) == [0, 50, 100, 150, 200]


def test_an_integer_axis_has_only_integer_ticks() -> None:
    assert ticks(2.0, 1.0, integer_ticks=True) == [0, 1, 2]


def test_a_chart_of_zeros_has_an_axis() -> None:
    assert ticks(0.0, 0.0)[0] == 0


def test_a_logarithmic_axis_covers_the_smallest_and_the_largest_value() -> None:
    labels = ticks(9.0, 4_800.0, log=True)
    assert labels[0] == 10 and labels[-1] == 5_000 and ticks(0.0, log=True)


def test_overlapping_labels_are_moved_apart_within_the_chart() -> None:
    positions = spread([150.0, 150.0, 150.0, 10.0], 150.0)
    ordered = sorted(positions)
    assert all(after - before >= LABEL_GAP_PX for before, after in itertools.pairwise(ordered))
    assert max(positions) <= 150.0 and positions[3] == 10.0


def test_labels_with_enough_space_stay_at_the_ends_of_their_lines() -> None:
    assert spread([100.0, 20.0, 60.0], 150.0) == [100.0, 20.0, 60.0]
