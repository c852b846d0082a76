"""Each alert rule that we ship, and each row of the operations guide, names a metric that exists."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from cluster.aggregator.cost_metrics import DESCRIPTIONS, PREFIX
from deployments.gateway import metrics

DOCS = Path(__file__).parents[4] / "docs"
METRICS = {f"{PREFIX}{name}" for name in DESCRIPTIONS}
COUNTERS = {value for value in vars(metrics).values() if isinstance(value, str) and value.startswith("rayroom_")}


def test_each_rule_names_exported_metrics_and_how_urgent_it_is() -> None:
    (group,) = yaml.safe_load((DOCS / "alerts.yaml").read_text("utf-8"))["groups"]
    # Prometheus' own names: Ray's prefix, and the suffix of counters.
    exported = {f"ray_{name}" for name in METRICS} | {f"ray_{name}_total" for name in COUNTERS}
    for rule in group["rules"]:
        named = set(re.findall(r"\bray_\w+", rule["expr"]))
        assert named and named <= exported, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"])


def test_each_figure_of_the_bill_that_may_be_wrong_has_a_rule_and_a_row_of_the_guide() -> None:
    rules, guide = (DOCS / "alerts.yaml").read_text("utf-8"), (DOCS / "operations.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `(rayroom_costs_\w+)` \|", guide, re.MULTILINE))
    assert rows <= METRICS
    quiet = {"never_left", "call_records"}
    assert METRICS - rows == {f"{PREFIX}{name}" for name in quiet}
    unruled = {name for name in METRICS if f"ray_{name}" not in rules}
    # How many model replicas there should be is the deployment's own figure.
    assert unruled == {f"{PREFIX}{name}" for name in (*quiet, "connected_replicas")}
