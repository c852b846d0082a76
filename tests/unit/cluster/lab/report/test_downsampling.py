"""A long run is thinned to what a chart can show, and nothing that was not known is made up."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from cluster.lab.report import downsampling
from cluster.lab.report.charts import APART_PX, ChartLine, XAxis, area_chart, axis, log_axis, spread
from cluster.lab.report.palette import PALE_BLUE, PALE_GREY
from cluster.lab.results import record
from cluster.lab.results.record import table


def traffic(*rows: dict[str, Any]) -> Any:
    return table(record.TRAFFIC, rows)


def test_a_short_run_is_drawn_second_by_second() -> None:
    found = traffic(*({"at_s": float(second), "rooms": second} for second in range(100)))
    time = downsampling.clock(found)
    assert (time.stretch_s, time.unit) == (1, "seconds")
    assert downsampling.points(found, "rooms", time, downsampling.mean) == tuple(
        (float(at), float(at)) for at in range(100)
    )


def test_a_day_is_thinned_to_few_points_that_keep_its_worst_second() -> None:
    rows = ({"at_s": float(second), "p95_ms": 9_000.0 if second == 40_000 else 100.0} for second in range(86_400))
    found = traffic(*rows)
    time = downsampling.clock(found)
    points = downsampling.points(found, "p95_ms", time, downsampling.highest)
    assert time.unit == "hours" and len(points) <= downsampling.MOST_POINTS
    assert max(y for _, y in points if y is not None) == 9_000.0


def test_a_second_that_nobody_knows_is_a_gap() -> None:
    found = traffic({"at_s": 0.0, "rooms": 3}, {"at_s": 1.0}, {"at_s": 2.0, "rooms": 5})
    assert downsampling.points(found, "rooms", downsampling.clock(found), downsampling.mean) == (
        (0.0, 3.0),
        (1.0, None),
        (2.0, 5.0),
    )


def test_rows_may_come_in_any_order() -> None:
    found = traffic({"at_s": 2.0, "rooms": 5}, {"at_s": 0.0, "rooms": 3})
    assert downsampling.points(found, "rooms", downsampling.clock(found), downsampling.last) == ((0.0, 3.0), (2.0, 5.0))


def test_deployments_keep_the_order_in_which_they_were_seen() -> None:
    rows = [{"at_s": 0.0, "deployment": name} for name in ("vision", "router", "vision")]
    found = downsampling.deployments(table(record.REPLICAS, rows))
    assert [(name, len(one)) for name, one in found.items()] == [("vision", 2), ("router", 1)]


def test_an_empty_table_has_a_clock_all_the_same() -> None:
    assert downsampling.clock(traffic()).last_s == 0.0 and not downsampling.known(traffic(), "rooms")


def test_areas_take_a_second_that_nobody_knows_for_a_gap_and_not_for_nothing() -> None:
    known = ChartLine(label="a", colour=PALE_BLUE, points=((0.0, 40.0), (1.0, 40.0), (2.0, 40.0)))
    gap = ChartLine(label="b", colour=PALE_GREY, points=((0.0, 40.0), (1.0, None), (2.0, 40.0)))
    with_gap = area_chart("t", "t", [known, gap], XAxis(title="s", low=0, high=2))
    two = [replace(line, points=(line.points[0], line.points[2])) for line in (known, gap)]
    assert with_gap.wide == area_chart("t", "t", two, XAxis(title="s", low=0, high=2)).wide


def test_an_axis_begins_at_zero_and_ends_at_a_round_figure() -> None:
    assert axis(197, whole=False).ticks == (0, 50, 100, 150, 200)
    assert axis(2, whole=True).ticks == (0, 1, 2)
    assert axis(0, whole=True).high == 1


def test_a_logarithmic_axis_holds_the_least_and_the_most() -> None:
    found = log_axis([0.0, 9.0, 4_800.0])
    assert (found.low, found.high, found.px(found.high, 150)) == (1, 10_000, 0)
    assert log_axis([]).high > log_axis([]).low


def test_a_place_on_an_axis_can_be_found_again() -> None:
    for found in (axis(100, whole=False), log_axis([1.0, 500.0])):
        assert abs(found.value(found.px(42.0, 150), 150) - 42.0) < 1e-6


def test_labels_that_would_cover_each_other_are_set_apart_within_the_chart() -> None:
    placed = spread([150.0, 150.0, 150.0, 10.0], 150.0)
    ordered = sorted(placed)
    assert all(after - before >= APART_PX for before, after in itertools.pairwise(ordered))
    assert max(placed) <= 150.0 and placed[3] == 10.0


def test_labels_that_have_room_stay_where_their_lines_end() -> None:
    assert spread([100.0, 20.0, 60.0], 150.0) == [100.0, 20.0, 60.0]
