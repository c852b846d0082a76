"""Parse scraped metrics, and compute rates and quantiles between two scrapes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.serve.node_metrics import parse_samples

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """The series of all endpoints at one moment. `at_s` is monotonic."""

    at_s: float
    series: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def by(self, name: str, *labels: str, **chosen: str) -> dict[Key, float]:
        """Return the sums of a metric by labels, of the series that have the chosen labels."""
        sums = defaultdict[Key, float](float)
        for key, value in self.series.get(name, {}).items():
            found = dict(key)
            if chosen.items() <= found.items():
                sums[tuple(found.get(label, "") for label in labels)] += value
        return dict(sums)

    def most(self, name: str, *labels: str) -> dict[Key, float]:
        """Return the largest value of a gauge by labels, such as one that every replica exports."""
        largest = dict[Key, float]()
        for key, value in self.series.get(name, {}).items():
            found = dict(key)
            group = tuple(found.get(label, "") for label in labels)
            largest[group] = max(value, largest.get(group, -math.inf))
        return largest

    def total(self, name: str, **chosen: str) -> float:
        return sum(self.by(name, **chosen).values())

    def since(self, before: Scrape) -> Scrape:
        """Return the growth of each series; a counter that fell was restarted, and one that is new began at zero."""
        grown = {
            name: {key: _growth(value, before.series.get(name, {}).get(key, 0.0)) for key, value in values.items()}
            for name, values in self.series.items()
        }
        return Scrape(at_s=self.at_s - before.at_s, series=grown)


def parse(texts: Iterable[str], prefixes: tuple[str, ...], at_s: float) -> Scrape:
    """Return the series with a name that begins with one of the prefixes, summed over the nodes."""
    series = defaultdict[str, dict[Labels, float]](dict)
    for name, labels, value, *_ in parse_samples(texts, prefixes):
        key = tuple(sorted(labels.items()))
        series[name][key] = series[name].get(key, 0.0) + value
    return Scrape(at_s=at_s, series=dict(series))


def quantiles(grown: Scrape, histogram: str, share: float, *labels: str) -> dict[Key, float]:
    """Return the upper edge of the bucket that holds a quantile, by labels, of the groups with observations."""
    buckets = defaultdict[Key, dict[float, float]](dict)
    for key, count in grown.by(f"{histogram}_bucket", *labels, "le").items():
        *group, edge = key
        buckets[tuple(group)][float(edge)] = count
    found = dict[Key, float]()
    for name, counts in buckets.items():
        wanted = share * max(counts.values())
        if wanted > 0:
            found[name] = min(edge for edge, count in counts.items() if count >= wanted)
    return found


def _growth(now: float, before: float) -> float:
    return now if now < before else now - before
