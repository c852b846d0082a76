"""Show how the bill stands, as gauges of Ray in the aggregator."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.common.instruments import Instruments
from routing.telemetry.aggregator_metrics import COST_METRICS, COSTS_PREFIX


class CostMetrics:
    """One gauge a figure, labelled with the shard of the journal."""

    def __init__(self, shard: int) -> None:
        self._tags = {"shard": str(shard)}
        self._names = {metric.name for metric in COST_METRICS}
        self._instruments = Instruments(COST_METRICS, (self._tags,))

    def show(self, figures: Mapping[str, float]) -> None:
        """Set the gauges; a figure without one is left out."""
        for name, value in figures.items():
            if COSTS_PREFIX + name in self._names:
                self._instruments.set(COSTS_PREFIX + name, value, self._tags)
