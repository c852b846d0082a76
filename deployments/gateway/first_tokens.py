"""Time the first tokens of streams, and limit the wait for one to the model's own p99."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from routing.chat import Effort
from routing.latency import ModelLatencies, first_token_limit_s

LATE = 2.0
"""A first token that did not come counts as one after so many times the limit. A limit below the model's real p99 thus
grows until it holds."""


class FirstTokenTimes:
    """The times to the first token of each model at each effort, as one replica measures them.

    `published_p99_s` holds the published p99 of models, for the first requests of a replica. It is that of answers
    without thinking.
    """

    def __init__(self, published_p99_s: Mapping[str, float], clock: Callable[[], float]) -> None:
        self._published_p99_s = published_p99_s
        self._latencies = ModelLatencies()
        self._clock = clock

    def timer(self, model: str, effort: Effort | None, least_s: float, longest_s: float) -> FirstTokenTimer:
        """Return a timer that starts now; its limit is the model's p99, between `least_s` and `longest_s`."""
        thinks = effort not in (None, "none")
        key = f"{model} {effort}" if thinks else model
        published_s = None if thinks else self._published_p99_s.get(model)
        limit_s = first_token_limit_s(self._latencies.p99_s(key, published_s), least_s, longest_s)
        return FirstTokenTimer(latencies=self._latencies, key=key, limit_s=limit_s, clock=self._clock)


@dataclass(slots=True, kw_only=True)
class FirstTokenTimer:
    """The time to the first token of one attempt; `limit_s` is the most seconds to wait for it."""

    latencies: ModelLatencies = field(repr=False)
    key: str
    limit_s: float
    clock: Callable[[], float] = field(repr=False)
    running: bool = True
    started_s: float = field(init=False)
    took_s: float | None = None
    """The seconds until the first token; None while none has come."""

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    def stop(self) -> None:
        """Record that a token came; only the first counts."""
        if self.running:
            self.running = False
            self.took_s = self.clock() - self.started_s
            self.latencies.add(self.key, self.took_s)

    def expire(self) -> None:
        """Record that no token came within the limit."""
        if self.running:
            self.running = False
            self.latencies.add(self.key, LATE * self.limit_s)
