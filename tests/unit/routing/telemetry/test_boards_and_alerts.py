"""The boards and the alert rules name metrics that exist, and the operations guide has a row for each alert."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from routing.telemetry.aggregator_metrics import COST_METRICS
from routing.telemetry.metrics import BORROWED, METRICS

DOCS = Path(__file__).parents[4] / "docs"
BOARDS = sorted((DOCS / "boards").glob("*.json"))
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DOCS / "alerts.yaml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
GUIDE = (DOCS / "operations.md").read_text("utf-8")
SERIES = frozenset(BORROWED).union(*(metric.series_names for metric in METRICS))
SELECTOR = re.compile(r"\b((?:ray_|rayroom_)\w+)(?:\{([^}]*)\})?")

UNSHOWN = {
    f"rayroom_dispatch_{name}"
    for name in ("webhooks", "heartbeats", "looks", "dropped_rooms", "rooms", "refused_workers", "workers")
} | {"rayroom_agent_answers", "rayroom_agent_answers_lost"}
"""Figures for the reader of a scrape; no board needs them."""


def queries(board: Path) -> list[str]:
    panels = json.loads(board.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


ALL_QUERIES = [*(rule["expr"] for rule in ALERTS), *(query for board in BOARDS for query in queries(board))]


@pytest.mark.parametrize("query", ALL_QUERIES)
def test_a_query_names_metrics_that_exist_with_the_labels_that_they_have(query: str) -> None:
    labels = {name: metric.labels for metric in METRICS for name in metric.series_names}
    named = SELECTOR.findall(query)
    assert named, query
    for name, selector in named:
        assert name in SERIES, name
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector))
        assert name in BORROWED or used <= set(labels[name]), selector


def test_grouping_labels_exist_in_the_metrics_of_their_query() -> None:
    known = {label for metric in METRICS for label in metric.labels} | {"le", "deployment"}
    for query in ALL_QUERIES:
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            assert set(re.split(r",\s*", grouped)) <= known, query


def test_the_metrics_borrowed_from_ray_are_in_its_source() -> None:
    ray = find_spec("ray")
    assert ray is not None and ray.origin is not None
    internals = Path(ray.origin).parent / "serve" / "_private"
    source = "".join(path.read_text("utf-8") for path in internals.glob("*.py"))
    for name in BORROWED:
        assert f'"{name.removeprefix("ray_")}"' in source, name


def test_the_four_boards_have_titles_and_places_that_do_not_overlap() -> None:
    assert [board.stem for board in BOARDS] == ["autoscaling", "gateway", "money", "rooms"]
    for path in BOARDS:
        board = json.loads(path.read_text("utf-8"))
        assert board["uid"] == f"rayroom-{path.stem}" and board["templating"]["list"][0]["type"] == "datasource"
        taken = set[tuple[int, int]]()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert panel["title"] and at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
            taken |= cells


def test_each_alert_has_an_urgency_a_summary_and_a_row_of_the_guide() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]
    assert sorted(re.findall(r"^\| `([A-Z][a-z]\w+)` \|", GUIDE, re.MULTILINE)) == sorted(names)


def test_each_figure_of_the_bill_that_may_be_wrong_has_a_rule() -> None:
    named = {name for rule in ALERTS for name, _ in SELECTOR.findall(rule["expr"])}
    unruled = {metric.name for metric in COST_METRICS if metric.exported_name not in named}
    # How many model replicas there should be is the deployment's own figure.
    assert unruled == {f"rayroom_costs_{name}" for name in ("never_left", "call_records", "connected_replicas")}


def test_every_listed_metric_is_on_a_board_or_in_a_rule() -> None:
    shown = {name for query in ALL_QUERIES for name, _ in SELECTOR.findall(query)}
    quiet = {metric.name for metric in METRICS if not metric.series_names & shown}
    assert quiet <= UNSHOWN
