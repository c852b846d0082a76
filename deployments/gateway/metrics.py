"""What a router tells of itself while it runs: the names of its signals, and who takes them. Knows no room."""

from __future__ import annotations

from typing import Protocol

from ray.serve import metrics

BREAKER_TRANSITIONS = "rayroom_breaker_transitions"
FALLBACKS = "rayroom_fallbacks"


class GatewayMetrics(Protocol):
    """Takes note of what happens to requests, by model; never by room, tenant or key."""

    def breaker_turned(self, model: str, to: str) -> None: ...

    def fell_back(self, model: str, to: str) -> None: ...


class NoMetrics:
    """Takes note of nothing: for a gateway that no cluster watches."""

    def breaker_turned(self, model: str, to: str) -> None:
        return None

    def fell_back(self, model: str, to: str) -> None:
        return None


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
