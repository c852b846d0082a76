"""The named actor that every replica's money goes through. A thin shell: the recorder and the flusher decide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import ActorDiedError, RayActorError
from ray.util import get_node_ip_address

from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import CostTransport, TransportAddress, TransportServer
from cluster.backend.factory import connect_backend
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.commit_log import CommitLog, Entry, Receipt
from cluster.costs.flusher import Flusher
from cluster.costs.journal import Journal
from cluster.rooms.forecast import RoomSignal
from cluster.rooms.heartbeat_batcher import HeartbeatBatcher
from cluster.rooms.registry import RoomRegistry
from routing.errors import CostsUnavailable
from routing.models import Intent, RoomHeartbeat, Settlement, TenantTotals
from routing.process import configure_logs, freeze_startup_objects

NAME = "rayroom-aggregator"
NAMESPACE = "rayroom"
MAX_CONCURRENCY = 1_000

log = structlog.get_logger()


class Aggregator:
    """Records, seals and flushes; remembers the open rooms. Replays its journal when it starts."""

    def __init__(self, costs: CostSettings, backend: BackendSettings) -> None:
        configure_logs()
        self._journal = Journal(Path(costs.journal_path))
        self._recorder = CommitLog(self._journal, time.time)
        self._rooms = RoomRegistry()
        self._backend = connect_backend(backend)
        self._flusher = Flusher(
            recorder=self._recorder,
            journal=self._journal,
            backend=self._backend,
            every_s=costs.flush_every_s,
            longest_backoff_s=costs.flush_longest_backoff_s,
            call_timeout_s=backend.timeout_s * 3,
            clock=time.time,
        )
        self._flushing = asyncio.get_running_loop().create_task(self._flusher.run())
        self._server = TransportServer(self._recorder.write)
        self._listening: asyncio.Task[TransportAddress] | None = None
        freeze_startup_objects()
        log.info("aggregator started", journal_id=self._journal.journal_id)

    async def address(self) -> TransportAddress:
        """Return where batches are taken without an actor call: a port of this node's Ray address, and of no other."""
        if self._listening is None:
            host: str = get_node_ip_address()  # type: ignore[no-untyped-call]
            self._listening = asyncio.create_task(self._server.listen(host))
        return await asyncio.shield(self._listening)

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        return await self._recorder.write(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self._recorder.totals(tenant_id)

    async def beat(self, beats: list[RoomHeartbeat]) -> dict[str, int]:
        """Return what the tenants of these rooms have spent this month, in nano-dollars."""
        for beat in beats:
            self._rooms.beat(beat)
        return self._recorder.spent_nanousd({beat.tenant_id for beat in beats})

    async def close(self, room: str, job_id: str) -> None:
        self._rooms.close(room, job_id, time.time())

    async def rooms_of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        return self._rooms.of(tenant_id, time.time())

    async def room_signal(self) -> RoomSignal:
        return self._rooms.signal(time.time())

    async def drain(self) -> int:
        """Seal and send all that is settled; returns how many intents are still open. Raises BackendError."""
        await self._flusher.flush()
        return await self._recorder.open_intents()


def aggregator(costs: CostSettings, backend: BackendSettings) -> Any:
    """Return the cluster's one aggregator, started by whoever asks first. Blocks on Ray's control store."""
    actor: Any = ray.remote(Aggregator)
    return actor.options(
        name=NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        # A call that kills the actor must not be sent to it for ever: the outbox resends, with an end and by id.
        max_task_retries=0,
        max_concurrency=MAX_CONCURRENCY,
        # The journal is a file of the head node.
        resources={"node:__internal_head__": 0.001},
    ).remote(costs, backend)


class AggregatorClient:
    """What the router is bound to: the costs, and the rooms, of the whole cluster. Connects at its first use."""

    def __init__(self, costs: CostSettings, backend: BackendSettings) -> None:
        self._costs = costs
        self._backend = backend
        self._actor: Any = None
        self._connecting = asyncio.Lock()
        self._line = CostTransport(self._find, self._call)
        self._outbox = CostOutbox(self._line.write, costs.timeout_s)
        self._beats = HeartbeatBatcher(self._send_beats)

    def __reduce__(self) -> tuple[Any, ...]:
        return AggregatorClient, (self._costs, self._backend)

    async def reserve(self, intent: Intent) -> int:
        return await self._outbox.reserve(intent)

    async def settle(self, settlement: Settlement) -> None:
        await self._outbox.settle(settlement)

    async def record(self, entries: Sequence[Entry]) -> int:
        return await self._outbox.record(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        totals: TenantTotals = await self._ask("totals", tenant_id)
        return totals

    async def beat(self, beat: RoomHeartbeat) -> int | None:
        return await self._beats.beat(beat)

    async def close(self, room: str, job_id: str) -> None:
        self._beats.drop(room, job_id)
        await self._ask("close", room, job_id)

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        beats: tuple[RoomHeartbeat, ...] = await self._ask("rooms_of", tenant_id)
        return beats

    async def aclose(self) -> None:
        await self._beats.aclose()
        await self._outbox.aclose()
        self._line.close()

    async def _send_beats(self, beats: list[RoomHeartbeat]) -> dict[str, int]:
        spent_nanousd: dict[str, int] | None = await self._ask("beat", beats)
        # An aggregator outlives its routers: one that was started by older ones says nothing.
        return spent_nanousd or {}

    async def _find(self) -> TransportAddress:
        address: TransportAddress = await self._ask("address")
        return address

    async def _call(self, entries: list[Entry]) -> Sequence[Receipt]:
        receipts: Sequence[Receipt] = await self._ask("write", entries)
        return receipts

    async def _ask(self, method: str, *values: object) -> Any:
        try:
            async with asyncio.timeout(self._costs.timeout_s):
                actor = await self._connected()
                return await getattr(actor, method).remote(*values)
        except (RayActorError, TimeoutError) as error:
            if isinstance(error, ActorDiedError):
                # It will not come back under this handle: the next one to ask starts it again, or finds who did.
                self._actor = None
            raise CostsUnavailable(retry_after_s=1.0) from error

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._actor is None:
                self._actor = await asyncio.to_thread(aggregator, self._costs, self._backend)
        return self._actor
