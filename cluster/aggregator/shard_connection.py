"""A router's connection to one shard of the aggregator: its entries and the heartbeats of its rooms."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.aggregator.deployment import AggregatorSettings
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.messages import pack_entries, unpack_receipts
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import CostTransport, TransportAddress
from cluster.costs.models import Entry, Receipt
from cluster.rooms.heartbeat_batcher import HeartbeatBatcher, HeartbeatReceipt
from routing.models import RoomHeartbeat


class ShardConnection:
    """The actor, the outbox and the heartbeats of one shard. Connects at the first call."""

    def __init__(self, settings: AggregatorSettings, shard: int) -> None:
        self.actor = AggregatorHandle(settings, shard)
        self._transport = CostTransport(self._address, self._write)
        self.outbox = CostOutbox(self._transport.write, settings.costs.timeout_s)
        self.heartbeats = HeartbeatBatcher(self._send_heartbeats)

    async def close_room(self, room: str, job_id: str, opened_at_s: float) -> None:
        self.heartbeats.drop(room, job_id)
        await self.actor.call("close", room, job_id, opened_at_s)

    async def aclose(self) -> None:
        await self.heartbeats.aclose()
        await self.outbox.aclose()
        await self._transport.aclose()

    async def _send_heartbeats(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        receipt: HeartbeatReceipt = await self.actor.call("beat", heartbeats)
        return receipt

    async def _address(self) -> TransportAddress:
        address: TransportAddress = await self.actor.call("address")
        return address

    async def _write(self, entries: list[Entry]) -> Sequence[Receipt]:
        # By the transport's messages here too: a pickled entry of another version lacks the names of its fields.
        return unpack_receipts(await self.actor.call("write", pack_entries(entries)))
