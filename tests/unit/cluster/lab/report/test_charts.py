"""A chart's axes fit its values, and its labels do not cover each other."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from cluster.lab.report.charts import LABEL_GAP_PX, ChartLine, XAxis, area_chart, line_chart, spread
from cluster.lab.report.palette import BLUE, PALE_BLUE, PALE_GREY


def ticks(*values: float, whole: bool = False, log: bool = False) -> list[float]:
    """Return the tick labels of the vertical axis of a chart with one line through the values."""
    line = ChartLine(label="line", colour=BLUE, points=tuple((float(at), value) for at, value in enumerate(values)))
    figure = line_chart(
        "t", "t", [line], XAxis(title="s", low=0, high=1, names=((0.0, "start"),)), whole=whole, log=log
    )
    return [float(text.replace(",", "")) for text in re.findall(r">([\d.,]+)</text>", figure.wide)]


def test_areas_take_a_second_that_nobody_knows_for_a_gap_and_not_for_nothing() -> None:
    known = ChartLine(label="a", colour=PALE_BLUE, points=((0.0, 40.0), (1.0, 40.0), (2.0, 40.0)))
    gap = ChartLine(label="b", colour=PALE_GREY, points=((0.0, 40.0), (1.0, None), (2.0, 40.0)))
    with_gap = area_chart("t", "t", [known, gap], XAxis(title="s", low=0, high=2))
    two = [replace(line, points=(line.points[0], line.points[2])) for line in (known, gap)]
    assert with_gap.wide == area_chart("t", "t", two, XAxis(title="s", low=0, high=2)).wide


def test_an_axis_begins_at_zero_and_has_round_ticks_up_to_the_highest_value() -> None:
    assert ticks(197.0, 3.0) == [0, 50, 100, 150, 200]


def test_an_axis_of_whole_numbers_has_no_tick_between_them() -> None:
    assert ticks(2.0, 1.0, whole=True) == [0, 1, 2]


def test_a_chart_of_zeros_has_an_axis_too() -> None:
    assert ticks(0.0, 0.0)[0] == 0


def test_a_logarithmic_axis_covers_the_smallest_and_the_largest_value() -> None:
    found = ticks(9.0, 4_800.0, log=True)
    assert found[0] == 10 and found[-1] == 5_000 and ticks(0.0, log=True)


def test_labels_that_would_cover_each_other_are_set_apart_within_the_chart() -> None:
    placed = spread([150.0, 150.0, 150.0, 10.0], 150.0)
    ordered = sorted(placed)
    assert all(after - before >= LABEL_GAP_PX for before, after in itertools.pairwise(ordered))
    assert max(placed) <= 150.0 and placed[3] == 10.0


def test_labels_that_have_room_stay_where_their_lines_end() -> None:
    assert spread([100.0, 20.0, 60.0], 150.0) == [100.0, 20.0, 60.0]
