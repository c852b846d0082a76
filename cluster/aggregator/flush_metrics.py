"""Show how far the backend holds the bill, as gauges of Ray in the aggregator."""

from __future__ import annotations

from ray.util.metrics import Gauge

from cluster.costs.sending import SendingCounts

UNSENT_WINDOWS = "rayroom_unsent_windows"
PARKED_WINDOWS = "rayroom_parked_windows"
UNEXPECTED_DUPLICATES = "rayroom_unexpected_duplicates"


class FlushMetrics:
    """Gauges of the journal's windows, without a label."""

    def __init__(self) -> None:
        self._unsent = Gauge(UNSENT_WINDOWS, description="Windows that the backend has neither stored nor refused.")
        self._parked = Gauge(PARKED_WINDOWS, description="Windows that the backend refuses; `rayroom parked` lists them.")
        self._duplicates = Gauge(UNEXPECTED_DUPLICATES, description="Windows that were duplicates on their first send.")

    def show(self, counts: SendingCounts) -> None:
        """Set the gauges."""
        self._unsent.set(counts.unsent)
        self._parked.set(counts.parked)
        self._duplicates.set(counts.duplicates)
