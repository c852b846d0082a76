"""The router's client of the aggregator: costs and rooms of the whole cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ray.exceptions import ActorDiedError, RayActorError

from cluster.aggregator.actor import start_aggregator
from cluster.aggregator.call_records import CallRecordOutbox
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import CostTransport, TransportAddress
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.models import Entry, Receipt
from cluster.rooms.heartbeat_batcher import HeartbeatBatcher, HeartbeatReceipt
from routing.errors import CostsUnavailable
from routing.models import Intent, RoomHeartbeat, Settlement, TenantTotals


class AggregatorClient:
    """Implement `Costs` and `Rooms` of routing.models. Connects at the first call, so that it can be pickled."""

    def __init__(self, costs: CostSettings, backend: BackendSettings) -> None:
        self._costs = costs
        self._backend = backend
        self._actor: Any = None
        self._connecting = asyncio.Lock()
        self._transport = CostTransport(self._address, self._write)
        self._outbox = CostOutbox(self._transport.write, costs.timeout_s)
        self._heartbeats = HeartbeatBatcher(self._send_heartbeats)

    def __reduce__(self) -> tuple[Any, ...]:
        return AggregatorClient, (self._costs, self._backend)

    async def reserve(self, intent: Intent) -> int:
        return await self._outbox.reserve(intent)

    async def settle(self, settlement: Settlement) -> None:
        await self._outbox.settle(settlement)

    async def record(self, entries: Sequence[Entry]) -> int:
        return await self._outbox.record(entries)

    def call_records(self) -> CallRecordOutbox:
        """Return the sink for a model replica's call records, over a connection of its own."""
        return CallRecordOutbox(self._costs, self._backend)

    async def totals(self, tenant_id: str) -> TenantTotals:
        totals: TenantTotals = await self._call("totals", tenant_id)
        return totals

    async def beat(self, heartbeat: RoomHeartbeat) -> int | None:
        return await self._heartbeats.beat(heartbeat)

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        self._heartbeats.drop(room, job_id)
        await self._call("close", room, job_id, opened_at_s)

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        heartbeats: tuple[RoomHeartbeat, ...] = await self._call("rooms_of", tenant_id)
        return heartbeats

    async def aclose(self) -> None:
        await self._heartbeats.aclose()
        await self._outbox.aclose()
        await self._transport.aclose()

    async def _send_heartbeats(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        receipt: HeartbeatReceipt = await self._call("beat", heartbeats)
        return receipt

    async def _address(self) -> TransportAddress:
        address: TransportAddress = await self._call("address")
        return address

    async def _write(self, entries: list[Entry]) -> Sequence[Receipt]:
        receipts: Sequence[Receipt] = await self._call("write", entries)
        return receipts

    async def _call(self, method: str, *values: object) -> Any:
        try:
            async with asyncio.timeout(self._costs.timeout_s):
                actor = await self._connected()
                return await getattr(actor, method).remote(*values)
        except (RayActorError, TimeoutError) as error:
            if isinstance(error, ActorDiedError):
                # This handle is dead for good: the next call starts the actor again, or finds the one started since.
                self._actor = None
            raise CostsUnavailable(retry_after_s=1.0) from error

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._actor is None:
                self._actor = await asyncio.to_thread(start_aggregator, self._costs, self._backend)
        return self._actor
