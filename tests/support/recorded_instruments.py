"""The instruments of Ray as plain dictionaries: what a scrape of a process would show."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from routing.telemetry.metric import Metric

Series = tuple[tuple[str, str], ...]


class RecordedInstrument:
    """One instrument; it refuses labels that its metric does not list."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.series: dict[Series, list[float]] = defaultdict(list)

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert self.metric.kind == "counter" and value > 0
        self._record(value, tags)

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert self.metric.kind == "gauge"
        self._record(value, tags)

    def observe(self, value: float, tags: dict[str, str]) -> None:
        assert self.metric.kind == "histogram"
        self._record(value, tags)

    def _record(self, value: float, tags: dict[str, str]) -> None:
        assert tags.keys() == set(self.metric.labels) and all(isinstance(text, str) for text in tags.values())
        self.series[tuple(sorted(tags.items()))].append(value)


class RecordedInstruments:
    """All instruments that a part made."""

    def __init__(self) -> None:
        self.by_name: dict[str, RecordedInstrument] = {}

    def make(self, metric: Metric) -> Any:
        made = self.by_name[metric.name] = RecordedInstrument(metric)
        return made

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the recorded values of one series."""
        return self.by_name[name].series[tuple(sorted(labels.items()))]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the series that have these labels."""
        chosen = labels.items()
        return sum(sum(values) for key, values in self.by_name[name].series.items() if chosen <= dict(key).items())
