"""Shares a replica's in-flight slots among its tenants, max-min, when they are scarce. The clock is an argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from routing.errors import Overloaded
from routing.validation import STRICT, Count, Seconds, Share

RETRY_AFTER_S = 0.5
MOST_REFUSED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessSettings:
    """How many requests a replica may have in flight, and which part of the slots waits for a tenant not yet here.

    A tenant that was turned away is remembered for `memory_s`: until then nobody goes beyond the fair share.
    """

    __pydantic_config__ = STRICT

    slots: Count = 256
    reserve_share: Share = 0.2
    memory_s: Seconds = 1.0

    @property
    def reserve(self) -> int:
        return max(1, round(self.slots * self.reserve_share))


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessCounts:
    """What was decided so far, and what is going on now."""

    admitted: int
    refused_full: int
    refused_unfair: int
    in_flight: int
    tenants: int


def fair_level(slots: int, demands: Sequence[float]) -> float:
    """Return the most slots that one tenant holds when each gets as many as it wants or, at least, an equal part.

    A demand of infinity is a tenant that would take any number. Infinity is returned where all have what they want.
    """
    left = float(slots)
    for index, demand in enumerate(sorted(demands)):
        part = left / (len(demands) - index)
        if demand > part:
            return part
        left -= demand
    return float("inf")


class FairShare:
    """One replica's slots. It knows the tenants that have a request in flight and the last refused, no others."""

    def __init__(self, settings: FairnessSettings) -> None:
        self._settings = settings
        self._held: dict[str, int] = {}
        self._refused_at_s: dict[str, float] = {}
        self._in_flight = self._admitted = self._full = self._unfair = 0

    @contextmanager
    def slot(self, tenant_id: str, now_s: float) -> Iterator[None]:
        """Hold a slot for the body's time; raises Overloaded where the tenant gets none now."""
        self.take(tenant_id, now_s)
        try:
            yield
        finally:
            self.release(tenant_id)

    def take(self, tenant_id: str, now_s: float) -> None:
        """Take a slot, to be given back with `release`; raises Overloaded."""
        self._forget(now_s)
        if self._in_flight >= self._settings.slots:
            self._full += 1
        elif self._allowed(tenant_id):
            self._admitted += 1
            self._in_flight += 1
            self._held[tenant_id] = self._held.get(tenant_id, 0) + 1
            return
        else:
            self._unfair += 1
        self._remember(tenant_id, now_s)
        raise Overloaded(retry_after_s=RETRY_AFTER_S)

    def release(self, tenant_id: str) -> None:
        self._in_flight -= 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]

    def counts(self) -> FairnessCounts:
        return FairnessCounts(
            admitted=self._admitted,
            refused_full=self._full,
            refused_unfair=self._unfair,
            in_flight=self._in_flight,
            tenants=len(self._held.keys() | self._refused_at_s.keys()),
        )

    def _allowed(self, tenant_id: str) -> bool:
        others_wait = any(other != tenant_id for other in self._refused_at_s)
        if self._in_flight < self._settings.slots - self._settings.reserve and not others_wait:
            return True
        return self._held.get(tenant_id, 0) + 1 <= fair_level(self._settings.slots, self._demands(tenant_id))

    def _demands(self, tenant_id: str) -> list[float]:
        """Return what each tenant wants: what it holds, or any number where it was lately refused or asks now."""
        greedy = self._refused_at_s.keys() | {tenant_id}
        content = [float(count) for tenant, count in self._held.items() if tenant not in greedy]
        # One more, which is not here yet: a slot must be free when it comes.
        return [*content, *[float("inf")] * len(greedy), float(self._settings.reserve)]

    def _remember(self, tenant_id: str, now_s: float) -> None:
        self._refused_at_s.pop(tenant_id, None)
        self._refused_at_s[tenant_id] = now_s
        if len(self._refused_at_s) > MOST_REFUSED:
            del self._refused_at_s[next(iter(self._refused_at_s))]

    def _forget(self, now_s: float) -> None:
        """Drop the refusals that are too old; the oldest come first."""
        while self._refused_at_s:
            oldest = next(iter(self._refused_at_s))
            if now_s - self._refused_at_s[oldest] < self._settings.memory_s:
                return
            del self._refused_at_s[oldest]
