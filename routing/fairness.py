"""Max-min fair sharing of a replica's in-flight slots among its tenants. Callers pass the time in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from routing.errors import Overloaded
from routing.validation import STRICT, Count, Seconds, Share

RETRY_AFTER_S = 0.5
MAX_REFUSED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessSettings:
    """The number of in-flight slots of a replica, and the share of them reserved for a tenant that has none yet.

    A rejected tenant is remembered for `memory_s`; during that time no tenant may exceed the fair share.
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
    """The decisions so far, and the requests and tenants now in flight."""

    admitted: int
    refused_full: int
    refused_unfair: int
    in_flight: int
    tenants: int


def fair_level(slots: int, demands: Sequence[float]) -> float:
    """Return the max-min fair level: the most slots that one tenant may hold.

    A tenant that would take any number has a demand of infinity. The level is infinity if all demands are met.
    """
    remaining = float(slots)
    for index, demand in enumerate(sorted(demands)):
        equal_share = remaining / (len(demands) - index)
        if demand > equal_share:
            return equal_share
        remaining -= demand
    return float("inf")


class FairShare:
    """The slots of one replica. State is kept only for tenants in flight and for the last rejected ones."""

    def __init__(self, settings: FairnessSettings) -> None:
        self._settings = settings
        self._held: dict[str, int] = {}
        self._refused_at_s: dict[str, float] = {}
        self._in_flight = self._admitted = self._full = self._unfair = 0

    @contextmanager
    def slot(self, tenant_id: str, now_s: float) -> Iterator[None]:
        """Hold a slot inside the `with` block; raises Overloaded if the tenant gets none now."""
        self.take(tenant_id, now_s)
        try:
            yield
        finally:
            self.release(tenant_id)

    def take(self, tenant_id: str, now_s: float) -> None:
        """Take a slot and count the decision; the caller returns it with `release`. Raises Overloaded."""
        self._drop_expired_refusals(now_s)
        if self._in_flight >= self._settings.slots:
            self._full += 1
        elif self._allowed(tenant_id):
            self._admitted += 1
            self._in_flight += 1
            self._held[tenant_id] = self._held.get(tenant_id, 0) + 1
            return
        else:
            self._unfair += 1
        self._record_refusal(tenant_id, now_s)
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
        """Return the demand of each tenant: its slots, or infinity if it was rejected recently or requests one now."""
        unbounded = self._refused_at_s.keys() | {tenant_id}
        bounded = [float(count) for tenant, count in self._held.items() if tenant not in unbounded]
        # The reserve is for a tenant without a request so far: a slot must be free for its first one.
        return [*bounded, *[float("inf")] * len(unbounded), float(self._settings.reserve)]

    def _record_refusal(self, tenant_id: str, now_s: float) -> None:
        self._refused_at_s.pop(tenant_id, None)
        self._refused_at_s[tenant_id] = now_s
        if len(self._refused_at_s) > MAX_REFUSED:
            del self._refused_at_s[next(iter(self._refused_at_s))]

    def _drop_expired_refusals(self, now_s: float) -> None:
        """Drop the expired rejections; the dict is ordered by time, oldest first."""
        while self._refused_at_s:
            oldest = next(iter(self._refused_at_s))
            if now_s - self._refused_at_s[oldest] < self._settings.memory_s:
                return
            del self._refused_at_s[oldest]
