"""A long run is downsampled to the resolution of a chart, and unknown values stay unknown."""

from __future__ import annotations

from typing import Any

from cluster.lab.report import downsampling
from cluster.lab.results import record
from cluster.lab.results.record import table


def traffic(*rows: dict[str, Any]) -> Any:
    return table(record.TRAFFIC, rows)


def test_a_short_run_has_a_point_per_second() -> None:
    table_rows = traffic(*({"at_s": float(second), "rooms": second} for second in range(100)))
    time = downsampling.clock(table_rows)
    assert (time.interval_s, time.unit) == (1, "seconds")
    assert downsampling.points(table_rows, "rooms", time, downsampling.mean) == tuple(
        (float(at), float(at)) for at in range(100)
    )


def test_a_day_is_downsampled_and_keeps_its_worst_second() -> None:
    rows = ({"at_s": float(second), "p95_ms": 9_000.0 if second == 40_000 else 100.0} for second in range(86_400))
    table_rows = traffic(*rows)
    time = downsampling.clock(table_rows)
    points = downsampling.points(table_rows, "p95_ms", time, downsampling.highest)
    assert time.unit == "hours" and len(points) <= downsampling.MAX_POINTS
    assert max(y for _, y in points if y is not None) == 9_000.0


def test_an_unknown_second_is_a_gap() -> None:
    table_rows = traffic({"at_s": 0.0, "rooms": 3}, {"at_s": 1.0}, {"at_s": 2.0, "rooms": 5})
    assert downsampling.points(table_rows, "rooms", downsampling.clock(table_rows), downsampling.mean) == (
        (0.0, 3.0),
        (1.0, None),
        (2.0, 5.0),
    )


def test_rows_may_be_in_any_order() -> None:
    table_rows = traffic({"at_s": 2.0, "rooms": 5}, {"at_s": 0.0, "rooms": 3})
    assert downsampling.points(table_rows, "rooms", downsampling.clock(table_rows), downsampling.last) == (
        (0.0, 3.0),
        (2.0, 5.0),
    )


def test_deployments_keep_the_order_of_their_first_samples() -> None:
    rows = [{"at_s": 0.0, "deployment": name} for name in ("vision", "router", "vision")]
    tables = downsampling.deployments(table(record.REPLICAS, rows))
    assert [(name, len(rows_of_deployment)) for name, rows_of_deployment in tables.items()] == [
        ("vision", 2),
        ("router", 1),
    ]


def test_an_empty_table_has_a_clock() -> None:
    assert downsampling.clock(traffic()).last_s == 0.0 and not downsampling.known(traffic(), "rooms")
