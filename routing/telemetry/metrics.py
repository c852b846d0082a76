"""Collect every metric of the product; docs/metrics.md is written from this list."""

from __future__ import annotations

from routing.telemetry.aggregator_metrics import COST_METRICS, ROOM_METRICS
from routing.telemetry.dispatch_metrics import DISPATCH_METRICS
from routing.telemetry.metric import Metric
from routing.telemetry.router_metrics import ROUTER_METRICS

METRICS: tuple[Metric, ...] = (*ROUTER_METRICS, *COST_METRICS, *ROOM_METRICS, *DISPATCH_METRICS)
INTRODUCTION = """# Metrics

Written from `routing/telemetry/` by `rayroom metrics`; a test compares the two. Ray exports its metrics on each node's
Prometheus port, and adds the labels `deployment`, `replica` and `application` to those of routers. `rayroom dispatch`
serves its own at `/metrics`. A counter or a gauge begins at zero, for every configured model; a histogram begins with
its first observation. No label holds a room, a key or any text of a caller. Only one metric has tenants as labels.

| metric | kind | part | labels | meaning |
|---|---|---|---|---|
"""
BORROWED = (
    "ray_serve_autoscaling_target_replicas",
    "ray_serve_autoscaling_total_requests",
    "ray_serve_deployment_replica_healthy",
    "ray_serve_deployment_queued_queries",
    "ray_serve_replica_processing_queries",
)
"""Metrics of Ray Serve that the boards and `rayroom top` use."""


def reference_page() -> str:
    """Return docs/metrics.md."""
    return INTRODUCTION + "".join(map(_row, METRICS))


def _row(metric: Metric) -> str:
    labels = ", ".join(metric.labels)
    return f"| `{metric.exported_name}` | {metric.kind} | {metric.part} | {labels} | {metric.help} |\n"
