"""Show how the bill stands, as gauges of Ray in the aggregator."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Gauge

PREFIX = "rayroom_costs_"
DESCRIPTIONS = {
    "open_intents": "Reservations without a settlement.",
    "journal_lag_seconds": "The age of the oldest settled event that the backend has not stored.",
    "unsent_windows": "Windows that the backend has neither stored nor refused.",
    "parked_windows": "Windows that the backend refuses; `rayroom parked` lists them.",
    "unexpected_duplicates": "Windows that were duplicates on their first send; `rayroom parked` lists them.",
    "expired_intents": "Reservations that expired, since the aggregator started.",
    "never_left": "Expired reservations that cost nothing, because no request left.",
    "ignored_settlements": "Settlements that changed nothing: resends, and worse reports.",
    "contradictions": "Settlements sent again with other amounts; the first ones stand.",
    "corrections": "Signed rows that correct a sealed cost.",
    "budget_refusals": "Reservations over a budget.",
    "unsent_alerts": "Budget alerts that the webhook has not accepted.",
    "given_up_alerts": "Budget alerts that the webhook did not accept for three days, since the aggregator started.",
    "refused_entries": "Entries refused because too many waited, or because their figures cannot be true.",
    "seal_failures": "Rounds of sealing or expiring that failed, since the aggregator started.",
    "archive_failures": "Rounds of moving costs to month files that failed, since the aggregator started.",
    "call_records": "Call records of model replicas that are kept.",
    "dropped_call_records": "Call records dropped over the bound.",
    "rooms_left_out": "Heartbeats of rooms over the bounds of the registry, since the aggregator started.",
    "connected_replicas": "Model replicas whose call records arrive.",
}


class CostMetrics:
    """One gauge a figure, labelled with the shard of the journal."""

    def __init__(self, shard: int) -> None:
        self._gauges = {
            name: Gauge(PREFIX + name, description=text, tag_keys=("shard",)) for name, text in DESCRIPTIONS.items()
        }
        self._tags = {"shard": str(shard)}

    def show(self, figures: Mapping[str, float]) -> None:
        """Set the gauges; a figure without one is left out."""
        for name in figures.keys() & self._gauges.keys():
            self._gauges[name].set(figures[name], tags=self._tags)
