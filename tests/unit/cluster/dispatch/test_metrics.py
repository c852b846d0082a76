"""The metrics of `rayroom dispatch` exist before anything has happened."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cluster.dispatch.metrics import DispatchMetrics
from routing.telemetry.dispatch_metrics import DISPATCH_METRICS


def test_a_fresh_process_exports_every_listed_series_at_zero() -> None:
    families = text_string_to_metric_families(DispatchMetrics().exposition().decode())
    samples = [sample for family in families for sample in family.samples]
    exported = {sample.name for sample in samples if not sample.name.endswith("_created")}
    assert exported == {name for metric in DISPATCH_METRICS for name in metric.series_names}
    assert all(sample.value == 0 for sample in samples if not sample.name.endswith("_created"))
    steps = [sample.labels for sample in samples if sample.name == "rayroom_dispatch_steps_total"]
    assert {"step": "create", "reason": "hand-over"} in steps and {"step": "remove", "reason": "second agent"} in steps
