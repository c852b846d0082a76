"""Circuit breakers: closed, open or half-open for each target. Callers pass the time and the random generator in."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from cachetools import FIFOCache

from routing.errors import ProviderError, ProviderRefused, RayroomError, ReplicaLost, ThinkingExhausted
from routing.retry import backoff_s
from routing.validation import STRICT, Count, Seconds, Share

MAX_BREAKERS = 256


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """The failures, as a count and as a share of the last `window_s`, that open a breaker, and for how long."""

    __pydantic_config__ = STRICT

    window_s: Seconds = 30.0
    most_outcomes: Count = 256
    failures: Count = 5
    failure_share: Share = 0.5
    open_s: Seconds = 5.0
    longest_open_s: Seconds = 60.0
    jitter_share: Share = 0.2
    probe_s: Seconds = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Permission for one attempt. `generation` grows with each state change, so that late reports are recognised."""

    generation: int
    probe: bool


def counts_against(error: BaseException | None) -> bool | None:
    """Return True for a failure of the target, False for a success, and None for an inconclusive end.

    A cancellation, a request that the vendor refuses, an output limit too small to think in, and a lost replica prove
    neither.
    """
    if error is None:
        return False
    if isinstance(error, ProviderRefused | ReplicaLost | ThinkingExhausted) or not isinstance(error, ProviderError):
        return None
    return True


class Breaker:
    """One target's breaker, in one replica."""

    def __init__(self, settings: BreakerSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=settings.most_outcomes)
        self._generation = 0
        self._open_until_s: float | None = None
        self._not_before_s = float("-inf")
        self._openings = 0
        self._probe_ends_s: float | None = None

    def state(self, now_s: float) -> BreakerState:
        if self._open_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._open_until_s else BreakerState.HALF_OPEN

    def acquire(self, now_s: float) -> Permit | None:
        """Return a permit for one attempt, or None. The caller returns it with `report`, however the attempt ends."""
        state = self.state(now_s)
        if state is BreakerState.CLOSED:
            return Permit(generation=self._generation, probe=False)
        # A probe that is never reported must not block the target for ever.
        if state is BreakerState.OPEN or (self._probe_ends_s is not None and now_s < self._probe_ends_s):
            return None
        self._generation += 1
        self._probe_ends_s = now_s + self._settings.probe_s
        return Permit(generation=self._generation, probe=True)

    def report(self, permit: Permit, error: BaseException | None, now_s: float) -> BreakerState | None:
        """Record the end of an attempt; `error` is the exception it raised, a cancellation included.

        Returns the state to which this turns the breaker, or None where it keeps its state.
        """
        before = self.state(now_s)
        self._record(permit, error, now_s)
        after = self.state(now_s)
        return None if after is before else after

    def _record(self, permit: Permit, error: BaseException | None, now_s: float) -> None:
        failed = counts_against(error)
        if failed and isinstance(error, RayroomError):
            self._extend_opening(error.retry_after_s, now_s)
        if permit.generation != self._generation:
            return
        if permit.probe:
            self._end_probe(failed, now_s)
        elif self._open_until_s is None and failed is not None:
            self._outcomes.append((now_s, failed))
            if failed and self._failure_limit_reached(now_s):
                self._open(now_s)

    def retry_after_s(self, now_s: float) -> float:
        """Return the least seconds until the next attempt is allowed, for the `Retry-After` of a rejected request."""
        return max(0.0, (self._open_until_s or now_s) - now_s)

    def _end_probe(self, failed: bool | None, now_s: float) -> None:
        self._probe_ends_s = None
        if failed is None:
            return
        if failed:
            self._open(now_s)
            return
        self._generation += 1
        self._open_until_s, self._openings = None, 0

    def _extend_opening(self, retry_after_s: float | None, now_s: float) -> None:
        """Lengthen this opening, or the next one, to the vendor's `Retry-After`; never shorten it."""
        if retry_after_s is None or not retry_after_s > 0:
            return
        self._not_before_s = max(self._not_before_s, now_s + min(retry_after_s, self._settings.longest_open_s))
        if self.state(now_s) is BreakerState.OPEN and self._open_until_s is not None:
            self._open_until_s = max(self._open_until_s, self._not_before_s)

    def _failure_limit_reached(self, now_s: float) -> bool:
        while self._outcomes and self._outcomes[0][0] <= now_s - self._settings.window_s:
            self._outcomes.popleft()
        failures = sum(failed for _, failed in self._outcomes)
        return failures >= self._settings.failures and failures >= self._settings.failure_share * len(self._outcomes)

    def _open(self, now_s: float) -> None:
        # Jitter, so that not all router replicas probe a recovering vendor at the same moment.
        jitter = 1 + self._settings.jitter_share * (2 * self._rng.random() - 1)
        self._openings += 1
        open_s = backoff_s(self._openings, self._settings.open_s, self._settings.longest_open_s) * jitter
        self._open_until_s = max(now_s + open_s, self._not_before_s)
        self._generation += 1
        self._outcomes.clear()


class Breakers:
    """A breaker for each (vendor, model). Beyond the limit the least recently used one is evicted."""

    def __init__(
        self, rng: random.Random, settings: BreakerSettings | None = None, max_breakers: int = MAX_BREAKERS
    ) -> None:
        self._settings = settings or BreakerSettings()
        self._rng = rng
        # Not LRUCache: listing the states would count as a use of every breaker.
        self._breakers: FIFOCache[tuple[str, str], Breaker] = FIFOCache(max_breakers)

    def of(self, vendor: str, model: str) -> Breaker:
        key = (vendor, model)
        breaker = self._breakers.get(key) or Breaker(self._settings, self._rng)
        self._breakers[key] = breaker
        return breaker

    def states(self, now_s: float) -> dict[tuple[str, str], BreakerState]:
        return {key: breaker.state(now_s) for key, breaker in self._breakers.items()}
