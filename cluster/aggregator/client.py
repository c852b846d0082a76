"""The router's client of the aggregator: costs and rooms of the whole cluster, each tenant's in its shard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.aggregator.call_records import CallRecordOutbox, ShardedCallRecords
from cluster.aggregator.deployment import AggregatorSettings
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.shard_connection import ShardConnection
from cluster.costs.models import Entry
from cluster.costs.storage.shard_files import call_files_path, shard_of
from routing.billing.bill import BillPage, BillQuery, Key
from routing.errors import CostsUnavailable
from routing.models import Intent, RoomHeartbeat, Settlement, Spending, TenantTotals
from routing.ratelimit import TakenRequests
from routing.rooms import parse_room

BILL_TOO_LONG = (
    "The bill was not added up in time: several bills are read now, or its time is too long for this route. Request a"
    " shorter time, or run `rayroom bill` on the head node."
)


class AggregatorClient:
    """Implement the gateway's client of the cluster. Connects at the first call, so that it can be pickled."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self._settings = settings
        self._shards = [ShardConnection(settings, shard) for shard in range(settings.costs.shards)]
        # The first shard also does the work that belongs to no single tenant.
        self._aggregator = self._shards[0].actor

    def __reduce__(self) -> tuple[Any, ...]:
        return AggregatorClient, (self._settings,)

    def _shard(self, tenant_id: str) -> ShardConnection:
        return self._shards[shard_of(tenant_id, len(self._shards))]

    def call_records(self) -> ShardedCallRecords:
        """Return the sink for a model replica's call records, over connections of its own."""
        journal = Path(self._settings.costs.journal_path)
        return ShardedCallRecords(
            [
                CallRecordOutbox(AggregatorHandle(self._settings, shard), call_files_path(journal, shard))
                for shard in range(len(self._shards))
            ]
        )

    async def ready(self) -> None:
        await asyncio.gather(*(shard.actor.call("ready") for shard in self._shards))

    async def reserve(self, intent: Intent) -> Spending:
        return await self._shard(intent.tenant_id).outbox.reserve(intent)

    async def settle(self, settlement: Settlement) -> None:
        await self._shard(settlement.tenant_id).outbox.settle(settlement)

    async def record(self, entries: Sequence[Entry]) -> Spending:
        return await self._shard(entries[0].tenant_id if entries else "").outbox.record(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        totals: TenantTotals = await self._shard(tenant_id).actor.call("totals", tenant_id)
        return totals

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage:
        page: BillPage | None = await self._aggregator.call("bill", query, after, limit)
        if page is None:
            raise CostsUnavailable(BILL_TOO_LONG, "since")
        return page

    async def beat(self, heartbeat: RoomHeartbeat) -> Spending | None:
        return await self._shard(heartbeat.tenant_id).heartbeats.beat(heartbeat)

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        await self._shard(parse_room(room).tenant_id).close_room(room, job_id, opened_at_s)

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        heartbeats: tuple[RoomHeartbeat, ...] = await self._shard(tenant_id).actor.call("rooms_of", tenant_id)
        return heartbeats

    async def exchange_rates(self, replica: str, taken: Sequence[TakenRequests]) -> Sequence[TakenRequests]:
        others: Sequence[TakenRequests] = await self._aggregator.call("exchange_rates", replica, list(taken))
        return others

    async def aclose(self) -> None:
        await asyncio.gather(*(shard.aclose() for shard in self._shards))
