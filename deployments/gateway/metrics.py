"""Name the router's metrics, and count them in its replica."""

from __future__ import annotations

from typing import Protocol

from ray.serve import metrics

BREAKER_TRANSITIONS = "rayroom_breaker_transitions"
FALLBACKS = "rayroom_fallbacks"


class GatewayMetrics(Protocol):
    """Counts what happens to requests, by model; never by room, tenant or key."""

    def breaker_turned(self, model: str, to: str) -> None: ...

    def fell_back(self, model: str, to: str) -> None: ...


class NoMetrics:
    """Counts nothing: for a gateway outside a cluster."""

    def breaker_turned(self, model: str, to: str) -> None:
        return None

    def fell_back(self, model: str, to: str) -> None:
        return None


class ServeMetrics:
    """Counts in this replica; Ray adds deployment and replica to the labels."""

    def __init__(self) -> None:
        # Ray annotates `tag_keys` as a tuple of one string, and accepts any length.
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
