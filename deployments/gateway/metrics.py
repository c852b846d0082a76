"""What a router tells of itself while it runs: the names of its signals, and who takes them. Knows no room."""

from __future__ import annotations

from typing import Protocol

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
