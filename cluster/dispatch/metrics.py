"""The counters and gauges of `rayroom dispatch`, in Prometheus' text format. No label carries a room or a tenant."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from routing.telemetry.dispatch_metrics import DISPATCH_METRICS, DISPATCH_PREFIX
from routing.telemetry.metric import Metric

ZERO_ROWS = (
    *({"step": "create", "reason": reason} for reason in ("unattended", "hand-over")),
    *({"step": "delete", "reason": reason} for reason in ("duplicate", "over")),
    *({"step": "remove", "reason": reason} for reason in ("job ended", "second agent")),
    *({"code": code} for code in ("livekit_unavailable", "livekit_refused")),
)


class DispatchMetrics:
    """The metrics of one process, in a registry of their own; each series known beforehand begins at zero."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._listed = {metric.name.removeprefix(DISPATCH_PREFIX): metric for metric in DISPATCH_METRICS}
        self.steps = self._counter("steps")
        self.webhooks = self._counter("webhooks")
        self.heartbeats = self._counter("heartbeats")
        self.lost_workers = self._counter("lost_workers")
        self.failures = self._counter("livekit_failures")
        self.looks = self._counter("looks")
        self.dropped_rooms = self._gauge("dropped_rooms")
        self.rooms = self._gauge("rooms")
        self.unattended_rooms = self._gauge("unattended_rooms")
        self.refused_workers = self._gauge("refused_workers")
        self.workers = self._gauge("workers")
        unattended = self._listed["unattended_seconds"]
        self.unattended_seconds = Histogram(
            unattended.name, unattended.help, buckets=unattended.buckets, registry=self._registry
        )

    def exposition(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        return generate_latest(self._registry)

    def _counter(self, name: str) -> Counter:
        metric = self._listed[name]
        counter = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        for labels in metric.zero_series(ZERO_ROWS) if metric.labels else ():
            counter.labels(**labels)
        return counter

    def _gauge(self, name: str) -> Gauge:
        metric: Metric = self._listed[name]
        return Gauge(metric.name, metric.help, registry=self._registry)
