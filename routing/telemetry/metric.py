"""Describe a metric: its name, its kind, its labels, and the series that exist before anything has happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Part = Literal["router", "model replica", "aggregator", "dispatch"]
RAY_PARTS: frozenset[Part] = frozenset({"router", "model replica", "aggregator"})
"""The parts whose metrics Ray exports, on each node's Prometheus port."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The buckets of latencies: from the gateway's own share of a request to the longest attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the product. `help` is one sentence; no label holds a room, a key or any text of a caller."""

    name: str
    kind: Kind
    part: Part
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The values of labels that are known beforehand, for the series that begin at zero."""
    buckets: tuple[float, ...] = ()

    @property
    def exported_name(self) -> str:
        """The name in Prometheus: Ray puts `ray_` before its metrics, and a counter ends in `_total`."""
        prefix = "ray_" if self.part in RAY_PARTS else ""
        suffix = "_total" if self.kind == "counter" else ""
        return f"{prefix}{self.name}{suffix}"

    @property
    def series_names(self) -> frozenset[str]:
        """The names that a query may use."""
        endings = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return frozenset(self.exported_name + ending for ending in endings)

    def zero_series(self, rows: Sequence[Mapping[str, str]]) -> Iterator[dict[str, str]]:
        """Yield the labels of each series that begins at zero.

        A row holds labels that only a configuration knows, such as a model and its vendor. A histogram has no series
        before its first observation.
        """
        if self.kind == "histogram":
            return
        configured = [label for label in self.labels if label not in self.values]
        known = {
            tuple(row[label] for label in configured): None for row in rows if all(label in row for label in configured)
        }
        fixed = [label for label in self.labels if label in self.values]
        for found, chosen in product(known or ({} if configured else {(): None}), _choices(self.values, fixed)):
            yield dict(zip(configured, found, strict=True)) | dict(zip(fixed, chosen, strict=True))


def _choices(values: Mapping[str, Sequence[str]], labels: Sequence[str]) -> list[tuple[str, ...]]:
    return list(product(*(values[label] for label in labels)))
