"""A router's signals as Serve's own metrics, which every node exports for Prometheus."""

from __future__ import annotations

from ray.serve import metrics

from deployments.gateway.metrics import BREAKER_TRANSITIONS, FALLBACKS


class ServeMetrics:
    """Counts in this replica; Ray adds deployment and replica to the labels."""

    def __init__(self) -> None:
        # Ray types a tuple of one where it means of any length.
        self._turned = metrics.Counter(
            BREAKER_TRANSITIONS,
            description="Turns of a model's breaker.",
            tag_keys=("model", "to"),  # type: ignore[arg-type]
        )
        self._fell_back = metrics.Counter(
            FALLBACKS,
            description="Requests that went on to another model.",
            tag_keys=("model", "to"),  # type: ignore[arg-type]
        )

    def breaker_turned(self, model: str, to: str) -> None:
        self._turned.inc(tags={"model": model, "to": to})

    def fell_back(self, model: str, to: str) -> None:
        self._fell_back.inc(tags={"model": model, "to": to})
