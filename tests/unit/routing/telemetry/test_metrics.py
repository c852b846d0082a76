"""The list of metrics: names, labels, the series that begin at zero, and the page that is written from it."""

from __future__ import annotations

import re
from pathlib import Path

from routing.telemetry.metric import Metric
from routing.telemetry.metrics import METRICS, reference_page

ROOT = Path(__file__).parents[4]
ATTEMPTS = Metric(
    name="rayroom_tries",
    kind="counter",
    part="router",
    help="Tries.",
    labels=("model", "outcome"),
    values={"outcome": ("ok", "error")},
)


def test_the_page_of_metrics_is_the_list() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert page == reference_page(), "run `rayroom metrics > docs/metrics.md`"


def test_a_metric_is_listed_once_with_a_plain_name_and_a_sentence() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"rayroom_[a-z0-9_]+", metric.name) and metric.help.endswith(".")
        assert not metric.name.endswith("_total"), "Prometheus' ending of a counter is added where it is exported"
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert metric.values.keys() <= set(metric.labels)


def test_no_label_names_a_room_a_key_or_an_open_list_of_tenants() -> None:
    labelled = {metric.name: set(metric.labels) for metric in METRICS}
    assert not [name for name, labels in labelled.items() if labels & {"room", "key", "participant", "request_id"}]
    assert [name for name, labels in labelled.items() if "tenant" in labels] == ["rayroom_top_tenant_nanousd"]


def test_ray_exports_a_counter_under_a_longer_name() -> None:
    assert ATTEMPTS.exported_name == "ray_rayroom_tries_total"


def test_a_series_of_each_configured_model_and_known_value_begins_at_zero() -> None:
    rows = [{"model": "a", "service": "llm"}, {"model": "b"}, {"model": "a", "service": "vision"}, {"route": "/"}]
    series = [tuple(labels.values()) for labels in ATTEMPTS.zero_series(rows)]
    assert series == [("a", "ok"), ("a", "error"), ("b", "ok"), ("b", "error")]


def test_a_metric_without_labels_begins_at_zero_and_a_histogram_has_no_series_yet() -> None:
    plain = Metric(name="rayroom_x", kind="gauge", part="router", help="X.")
    timed = Metric(name="rayroom_y", kind="histogram", part="router", help="Y.", buckets=(1.0,))
    assert list(plain.zero_series([])) == [{}]
    assert list(timed.zero_series([])) == []
    assert list(ATTEMPTS.zero_series([])) == []
