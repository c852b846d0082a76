"""The router's client of the aggregator: costs and rooms of the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.aggregator.call_records import CallRecordOutbox
from cluster.aggregator.deployment import AggregatorSettings
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.messages import pack_entries, unpack_receipts
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import CostTransport, TransportAddress
from cluster.costs.models import Entry, Receipt
from cluster.rooms.heartbeat_batcher import HeartbeatBatcher, HeartbeatReceipt
from routing.models import Intent, RoomHeartbeat, Settlement, TenantTotals


class AggregatorClient:
    """Implement `Costs` and `Rooms` of routing.models. Connects at the first call, so that it can be pickled."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self._settings = settings
        self._aggregator = AggregatorHandle(settings)
        self._transport = CostTransport(self._address, self._write)
        self._outbox = CostOutbox(self._transport.write, settings.costs.timeout_s)
        self._heartbeats = HeartbeatBatcher(self._send_heartbeats)

    def __reduce__(self) -> tuple[Any, ...]:
        return AggregatorClient, (self._settings,)

    def call_records(self) -> CallRecordOutbox:
        """Return the sink for a model replica's call records, over a connection of its own."""
        return CallRecordOutbox(AggregatorHandle(self._settings))

    async def reserve(self, intent: Intent) -> int:
        return await self._outbox.reserve(intent)

    async def settle(self, settlement: Settlement) -> None:
        await self._outbox.settle(settlement)

    async def record(self, entries: Sequence[Entry]) -> int:
        return await self._outbox.record(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        totals: TenantTotals = await self._aggregator.call("totals", tenant_id)
        return totals

    async def beat(self, heartbeat: RoomHeartbeat) -> int | None:
        return await self._heartbeats.beat(heartbeat)

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        self._heartbeats.drop(room, job_id)
        await self._aggregator.call("close", room, job_id, opened_at_s)

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        heartbeats: tuple[RoomHeartbeat, ...] = await self._aggregator.call("rooms_of", tenant_id)
        return heartbeats

    async def aclose(self) -> None:
        await self._heartbeats.aclose()
        await self._outbox.aclose()
        await self._transport.aclose()

    async def _send_heartbeats(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        receipt: HeartbeatReceipt = await self._aggregator.call("beat", heartbeats)
        return receipt

    async def _address(self) -> TransportAddress:
        address: TransportAddress = await self._aggregator.call("address")
        return address

    async def _write(self, entries: list[Entry]) -> Sequence[Receipt]:
        # By the transport's messages here too: a pickled entry of another version lacks the names of its fields.
        return unpack_receipts(await self._aggregator.call("write", pack_entries(entries)))
