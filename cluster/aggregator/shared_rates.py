"""Pass the requests that each router replica admitted on to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cachetools import FIFOCache

from routing.ratelimit import MAX_TENANTS, TakenRequests

FORGOTTEN_AFTER_S = 10.0
"""A replica that is silent for so long has stopped, or its counts would come too late."""
MAX_REPLICAS = 1_000


@dataclass(slots=True)
class _Replica:
    exchanged_at_s: float
    pending: FIFOCache[tuple[str, str], TakenRequests] = field(default_factory=lambda: FIFOCache(MAX_TENANTS))


@dataclass(slots=True)
class SharedRates:
    """The counts that each replica has not fetched yet."""

    replicas: FIFOCache[str, _Replica] = field(default_factory=lambda: FIFOCache(MAX_REPLICAS))

    def exchange(self, replica: str, taken: Sequence[TakenRequests], now_s: float) -> list[TakenRequests]:
        """Add a replica's admitted requests to those that the others will fetch; return theirs since its last call."""
        for name in [name for name, one in self.replicas.items() if now_s - one.exchanged_at_s > FORGOTTEN_AFTER_S]:
            del self.replicas[name]
        own = self.replicas.pop(replica, None)
        for other in self.replicas.values():
            for one in taken:
                before = other.pending.get((one.limit, one.tenant_id))
                count = one.count + (before.count if before else 0)
                other.pending[one.limit, one.tenant_id] = replace(one, count=count)
        self.replicas[replica] = _Replica(now_s)
        return [] if own is None else list(own.pending.values())
