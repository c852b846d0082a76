"""The counters and gauges of `rayroom dispatch`, in Prometheus' text format. No label carries a room or a tenant."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX = "rayroom_dispatch_"
UNATTENDED_BUCKETS_S = (0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 300)


class DispatchMetrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.steps = self._counter("steps", "Steps carried out.", "step", "reason")
        self.webhooks = self._counter("webhooks", "Webhooks by outcome: taken, repeated, refused.", "outcome")
        self.heartbeats = self._counter("heartbeats", "Heartbeats of workers by outcome: taken, refused.", "outcome")
        self.lost_workers = self._counter("lost_workers", "Workers that ended without saying so.")
        self.failures = self._counter("livekit_failures", "Calls of LiveKit that failed.", "code")
        self.looks = self._counter("looks", "Looks at a room.")
        self.dropped_rooms = self._gauge("dropped_rooms", "Rooms dropped over the bound, since the start.")
        self.rooms = self._gauge("rooms", "Rooms of tenants in LiveKit.")
        self.unattended_rooms = self._gauge("unattended_rooms", "Rooms with people and without an agent.")
        self.refused_workers = self._gauge("refused_workers", "Heartbeats of workers over the bound, since the start.")
        self.workers = self._gauge("workers", "Workers whose heartbeats arrive.")
        self.unattended_seconds = Histogram(
            PREFIX + "unattended_seconds",
            "The time that a room with people was without an agent.",
            buckets=UNATTENDED_BUCKETS_S,
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(PREFIX + name, text, registry=self._registry)
