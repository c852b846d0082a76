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
from routing.billing.bill import BillPage, BillQuery, Key
from routing.errors import CostsUnavailable
from routing.models import Intent, RoomHeartbeat, Settlement, Spending, TenantTotals
from routing.ratelimit import TakenRequests

BILL_TOO_LONG = (
    "The bill was not added up in time: several bills are read now, or its time is too long for this route. Request a"
    " shorter time, or run `rayroom bill` on the head node."
)


class AggregatorClient:
    """Implement the gateway's client of the cluster. Connects at the first call, so that it can be pickled."""

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

    async def reserve(self, intent: Intent) -> Spending:
        return await self._outbox.reserve(intent)

    async def settle(self, settlement: Settlement) -> None:
        await self._outbox.settle(settlement)

    async def record(self, entries: Sequence[Entry]) -> Spending:
        return await self._outbox.record(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        totals: TenantTotals = await self._aggregator.call("totals", tenant_id)
        return totals

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage:
        page: BillPage | None = await self._aggregator.call("bill", query, after, limit)
        if page is None:
            raise CostsUnavailable(BILL_TOO_LONG, "since")
        return page

    async def beat(self, heartbeat: RoomHeartbeat) -> Spending | None:
        return await self._heartbeats.beat(heartbeat)

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        self._heartbeats.drop(room, job_id)
        await self._aggregator.call("close", room, job_id, opened_at_s)

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        heartbeats: tuple[RoomHeartbeat, ...] = await self._aggregator.call("rooms_of", tenant_id)
        return heartbeats

    async def exchange_rates(self, replica: str, taken: Sequence[TakenRequests]) -> Sequence[TakenRequests]:
        others: Sequence[TakenRequests] = await self._aggregator.call("exchange_rates", replica, list(taken))
        return others

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
