"""Watch the app while it runs: replicas, queues, breakers and fallbacks, from its nodes' Prometheus metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from cluster.serve.node_metrics import fetch_texts, parse_samples
from routing.telemetry.router_metrics import BREAKER_TRANSITIONS, FALLBACKS

SAMPLE_EVERY_S = 2.0
SAMPLE_TIMEOUT_S = 5.0

_TARGET = "ray_serve_autoscaling_target_replicas"
_WANTED = "ray_serve_autoscaling_total_requests"
_PER_REPLICA = "ray_serve_autoscaling_target_ongoing_requests"
_RUNNING = "ray_serve_deployment_replica_healthy"
_ONGOING = "ray_serve_replica_processing_queries"
_QUEUED = "ray_serve_deployment_queued_queries"
_GAUGES = (_TARGET, _WANTED, _PER_REPLICA, _RUNNING, _ONGOING, _QUEUED)
_BREAKER, _FALLBACK = f"ray_{BREAKER_TRANSITIONS}_total", f"ray_{FALLBACKS}_total"
_PARSED = (*_GAUGES, _BREAKER, _FALLBACK)

Counts = Mapping[tuple[str, str, str], float]
"""A signal's count by kind, model, and new breaker state or fallback model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSample:
    """The app at one moment."""

    gauges: Mapping[str, Mapping[str, float]]
    """By metric and deployment, summed over replicas and nodes."""
    signals: Counts

    def rows(self, at_s: float) -> list[dict[str, Any]]:
        """Return a row of record.REPLICAS for each deployment."""
        return [self._row(at_s, name) for name in sorted(self.gauges[_TARGET])]

    def _row(self, at_s: float, name: str) -> dict[str, Any]:
        values = {metric: self.gauges[metric].get(name) for metric in _GAUGES}
        target, running, requests = values[_TARGET], values[_RUNNING], values[_WANTED]
        per_replica = values[_PER_REPLICA]
        return {
            "at_s": at_s,
            "deployment": name,
            "target_replicas": None if target is None else int(target),
            "running_replicas": None if running is None else int(running),
            "ongoing": values[_ONGOING],
            "queued": values[_QUEUED],
            "wanted_replicas": requests / per_replica if requests is not None and per_replica else None,
        }


def read_sample(texts: Iterable[str]) -> AppSample:
    """Parse the metrics of the nodes, one text a node."""
    gauges: dict[str, dict[str, float]] = {name: {} for name in _GAUGES}
    signals: dict[tuple[str, str, str], float] = {}
    kinds = {_BREAKER: "breaker", _FALLBACK: "fallback"}
    for name, labels, value, *_ in parse_samples(texts, _PARSED):
        if name in gauges:
            by_deployment = gauges[name]
            # Every replica exports the same value of these two; all other gauges are summed over replicas.
            subtotal = 0.0 if name in (_TARGET, _PER_REPLICA) else by_deployment.get(labels["deployment"], 0.0)
            by_deployment[labels["deployment"]] = subtotal + value
        elif name in kinds:
            key = kinds[name], labels["model"], labels["to"]
            signals[key] = signals.get(key, 0.0) + value
    return AppSample(gauges=gauges, signals=signals)


@dataclass(slots=True)
class AppSamples:
    """The samples, as rows of record.REPLICAS and record.EVENTS."""

    replicas: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    """The number of failed samples."""
    _targets: dict[str, int] = field(default_factory=dict)
    _signals: dict[tuple[str, str, str], float] | None = None

    def add(self, sample: AppSample, at_s: float, running: Mapping[str, int] | None = None) -> None:
        """Add a sample; a change since the previous one becomes an event.

        `running` comes from the status of Serve, which lists a replica at once; its gauge waits for a health check.
        """
        rows = [
            row | {"running_replicas": (running or {}).get(row["deployment"], row["running_replicas"])}
            for row in sample.rows(at_s)
        ]
        self.replicas += rows
        for row in rows:
            name, target = row["deployment"], row["target_replicas"]
            before = self._targets.get(name)
            if before is not None and before != target:
                self.event(at_s, "scale", name, f"{before} to {target} replicas")
            self._targets[name] = target
        before_counts = self._signals
        if before_counts is not None:
            for key, count in sample.signals.items():
                increase = int(count - before_counts.get(key, 0.0))
                if increase > 0:
                    kind, model, destination = key
                    description = (
                        f"{destination}, in {increase} replicas"
                        if kind == "breaker"
                        else f"to {destination}, {increase} requests"
                    )
                    self.event(at_s, kind, model, description)
        # The counts of a replica vanish with it, so the maximum is kept: they must not be counted again.
        self._signals = {key: max(count, (before_counts or {}).get(key, 0.0)) for key, count in sample.signals.items()}

    def event(self, at_s: float, kind: str, where: str, what: str) -> None:
        self.events.append({"at_s": at_s, "kind": kind, "where": where, "what": what})


class PrometheusWatcher:
    """Samples the endpoints until it is cancelled."""

    def __init__(
        self,
        endpoints: Sequence[str],
        running: Callable[[], Mapping[str, int]],
        samples: AppSamples,
        clock: Callable[[], float],
    ) -> None:
        self._endpoints = endpoints
        self._running = running
        self._samples = samples
        self._clock = clock

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=SAMPLE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while self._endpoints:
                started_s = self._clock()
                texts = await fetch_texts(http, self._endpoints)
                self._samples.failed += len(self._endpoints) - len(texts)
                if texts:
                    # Parsing takes half a millisecond per thousand lines, so it must not block the event loop.
                    sample = await asyncio.to_thread(read_sample, texts)
                    self._samples.add(sample, max(0.0, started_s), self._running())
                await asyncio.sleep(max(0.1, SAMPLE_EVERY_S - (self._clock() - started_s)))
