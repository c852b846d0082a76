"""Record the listed metrics in Ray, which exports them on its node's Prometheus port."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.util import metrics as ray_metrics

from routing.telemetry.metric import Metric

WAIT_S = 1.0
"""Prometheus scrapes more rarely than that."""
GAUGES_EVERY_S = 5.0
NO_LABELS: Mapping[str, str] = {}
Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a metric, and its labels with their values."""
Instrument = ray_metrics.Counter | ray_metrics.Gauge | ray_metrics.Histogram


class Instruments:
    """The instruments of some metrics. Each series that is known beforehand begins at zero.

    What is added to counters is gathered for `wait_s`, because a call of Ray costs ten times as much as adding here.
    """

    def __init__(
        self,
        listed: Iterable[Metric],
        rows: Sequence[Mapping[str, str]] = (),
        make: Callable[[Metric], Instrument] | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        """`rows` hold the labels that the configuration knows; `make` is for the metrics of a Serve replica."""
        make = make or (lambda metric: instrument_of(metric, ray_metrics))
        self._instruments: dict[str, Any] = {}
        self._wait_s = wait_s
        self._added: dict[Series, float] = {}
        self._gauges: dict[Series, float] = {}
        for metric in listed:
            self._instruments[metric.name] = instrument = make(metric)
            for labels in metric.zero_series(rows):
                # Ray's counters refuse an increment of zero; recording one creates the series.
                instrument._record(0.0, labels)
                if metric.kind == "gauge":
                    self._gauges[metric.name, tuple(labels.items())] = 0.0

    def add(self, name: str, amount: float, labels: Mapping[str, str] = NO_LABELS) -> None:
        """Add to a counter; nothing is recorded for an amount of zero or less. For the event loop's thread."""
        if amount <= 0:
            return
        if not self._added and self._wait_s:
            asyncio.get_running_loop().call_later(self._wait_s, self.flush)
        key = name, tuple(labels.items())
        self._added[key] = self._added.get(key, 0.0) + amount
        if not self._wait_s:
            self.flush()

    def add_now(self, name: str, amount: float, labels: Mapping[str, str] = NO_LABELS) -> None:
        """Add to a counter at once; any thread may call it."""
        if amount > 0:
            self._instruments[name].inc(amount, tags=dict(labels))

    def flush(self) -> None:
        """Add to Ray's counters what was gathered."""
        added, self._added = self._added, {}
        for (name, labels), amount in added.items():
            self._instruments[name].inc(amount, tags=dict(labels))

    def set(self, name: str, value: float, labels: Mapping[str, str] = NO_LABELS) -> None:
        self._gauges[name, tuple(labels.items())] = value
        self._instruments[name].set(value, tags=dict(labels))

    def record_gauges(self) -> None:
        """Record the last value of each gauge again; any thread may call it."""
        for (name, labels), value in self._gauges.copy().items():
            self._instruments[name].set(value, tags=dict(labels))

    def repeat_gauges(self) -> None:
        """Record the gauges every few seconds, in a thread of its own: Ray forgets one that is not recorded."""

        def repeat() -> None:
            while True:
                time.sleep(GAUGES_EVERY_S)
                self.record_gauges()

        threading.Thread(target=repeat, name="gauges", daemon=True).start()

    def observe(self, name: str, value: float, labels: Mapping[str, str] = NO_LABELS) -> None:
        self._instruments[name].observe(value, tags=dict(labels))


def instrument_of(metric: Metric, module: Any) -> Instrument:
    """Return Ray's instrument of a metric; `module` is `ray.util.metrics`, or `ray.serve.metrics` in a replica."""
    named = {"description": metric.help, "tag_keys": metric.labels}
    made: Instrument
    match metric.kind:
        case "counter":
            made = module.Counter(metric.name, **named)
        case "gauge":
            made = module.Gauge(metric.name, **named)
        case "histogram":
            made = module.Histogram(metric.name, boundaries=list(metric.buckets), **named)
    return made
