"""Says when a slow first token is worth a second leg. Asks no one and reads no clock; both legs are billed."""

from __future__ import annotations

from dataclasses import dataclass

from routing.latency import RecentLatencies
from routing.validation import STRICT, Count, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeSettings:
    """From which quantile of the first-token times a wait is too long, and how many requests may have a second leg."""

    __pydantic_config__ = STRICT

    quantile: Share = 0.95
    fewest_times: Count = 20
    most_share: Share = 0.1
    burst: Count = 3


def hedge_after_s(
    first_tokens: RecentLatencies, second_first_tokens: RecentLatencies, left_s: float, settings: HedgeSettings
) -> float | None:
    """Return how long to wait for the first token before a second leg starts, or None where it could not help.

    `first_tokens` are the first leg's target's times, `second_first_tokens` the second one's; `left_s` is what the
    first token's deadline leaves.
    """
    after_s = first_tokens.quantile(settings.quantile, settings.fewest_times)
    if after_s is None:
        return None
    usual_s = second_first_tokens.quantile(0.5)
    return after_s if after_s + (usual_s or 0.0) < left_s else None


class HedgeBudget:
    """Bounds the second legs: when a vendor slows down as a whole, hedging every request would double its load."""

    def __init__(self, settings: HedgeSettings) -> None:
        self._settings = settings
        self._tokens = float(settings.burst)
        self.asked = self.granted = 0

    def request(self) -> None:
        """Count a request that may come to want a second leg."""
        self._tokens = min(self._settings.burst, self._tokens + self._settings.most_share)

    def take(self) -> bool:
        """Tell whether a second leg may start now."""
        self.asked += 1
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        self.granted += 1
        return True
