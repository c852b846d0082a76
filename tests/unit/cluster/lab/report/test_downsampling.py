"""A long run is thinned to the resolution of a chart, and unknown values stay unknown."""

from __future__ import annotations

from typing import Any

from cluster.lab.report import downsampling
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
