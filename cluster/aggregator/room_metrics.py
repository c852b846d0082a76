"""Show the open rooms, the sums of their agents' counters, and the tenants that spend most, as metrics of Ray."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.common.instruments import Instruments
from routing.telemetry.aggregator_metrics import (
    AGENT_FIGURES,
    OTHER_TENANTS,
    ROOM_METRICS,
    ROOMS,
    TENANT_SPEND,
)


class RoomMetrics:
    """The metrics of one shard. The sums since the start only grow, so each call adds the difference to the last."""

    def __init__(self, shard: int) -> None:
        self._tags = {"shard": str(shard)}
        self._instruments = Instruments(ROOM_METRICS, (self._tags,))
        self._shown: dict[str, float] = {}

    def show(self, rooms: int, sums: Mapping[str, float], spend_nanousd: Mapping[str, int]) -> None:
        """Set the open rooms and the tenants' spend, and add the growth of the agents' sums."""
        self._instruments.set(ROOMS, rooms, self._tags)
        for name, total in sums.items():
            self._instruments.add_now(AGENT_FIGURES + name, total - self._shown.get(name, 0.0), self._tags)
            self._shown[name] = total
        for tenant, nanousd in spend_nanousd.items():
            self._instruments.set(TENANT_SPEND, nanousd, {**self._tags, "tenant": tenant})


class TopTenants:
    """The tenants that are labels: at most `most` over the life of a process, because a label never vanishes again."""

    def __init__(self, most: int = 20) -> None:
        self._most = most
        self._named: dict[str, None] = {}

    def spend(self, spent_nanousd: Mapping[str, int]) -> dict[str, int]:
        """Return the spend of the named tenants, and that of all others together.

        Places that are free go to the tenants that spend most. A named tenant keeps its place, with 0 where it spends
        nothing any more.
        """
        for tenant in sorted(spent_nanousd, key=lambda one: (-spent_nanousd[one], one)):
            if len(self._named) >= self._most:
                break
            if spent_nanousd[tenant] > 0:
                self._named.setdefault(tenant)
        shown = {tenant: spent_nanousd.get(tenant, 0) for tenant in self._named}
        return shown | {OTHER_TENANTS: sum(spent_nanousd.values()) - sum(shown.values())}
