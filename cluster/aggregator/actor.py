"""The named Ray actor that records the costs and the open rooms of the whole cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.util import get_node_ip_address

from cluster.aggregator.flush_metrics import FlushMetrics
from cluster.aggregator.transport import TransportAddress, TransportServer
from cluster.backend.factory import connect_backend
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.commit_log import CommitLog
from cluster.costs.flusher import Flusher
from cluster.costs.journal import Journal
from cluster.costs.models import Entry, Receipt
from cluster.costs.sealer import Sealer
from cluster.rooms.forecast import RoomSignal
from cluster.rooms.heartbeat_batcher import HeartbeatReceipt
from cluster.rooms.registry import RoomRegistry
from routing.models import RoomHeartbeat, TenantTotals
from routing.process import configure_logs, freeze_startup_objects

NAME = "rayroom-aggregator"
NAMESPACE = "rayroom"
MAX_CONCURRENCY = 1_000

log = structlog.get_logger()


class Aggregator:
    """Commit, seal and flush costs, and keep the open rooms. Reads its journal again on every start."""

    def __init__(self, costs: CostSettings, backend: BackendSettings) -> None:
        configure_logs()
        self._journal = Journal(Path(costs.journal_path))
        self._rooms = RoomRegistry()
        self._commit_log = CommitLog(self._journal, time.time, self._rooms.ends)
        self._backend = connect_backend(backend)
        self._flusher = Flusher(
            commit_log=self._commit_log,
            journal=self._journal,
            backend=self._backend,
            every_s=costs.flush_every_s,
            longest_backoff_s=costs.flush_longest_backoff_s,
            # The backend's own timeout bounds its HTTP call; this one is for a backend without any.
            call_timeout_s=backend.timeout_s * 3,
            park_after_s=costs.park_after_s,
            clock=time.time,
            show=FlushMetrics().show,
        )
        self._sealer = Sealer(self._commit_log, costs.flush_every_s)
        loop = asyncio.get_running_loop()
        self._sealing = loop.create_task(self._sealer.run())
        self._flushing = loop.create_task(self._flusher.run())
        self._server = TransportServer(self._commit_log.write)
        self._listening: asyncio.Task[TransportAddress] | None = None
        freeze_startup_objects()
        log.info("aggregator started", journal_id=self._journal.journal_id)

    async def address(self) -> TransportAddress:
        """Return the address of the cost transport: a port on this node's Ray address, and on no other interface."""
        if self._listening is None:
            host: str = get_node_ip_address()  # type: ignore[no-untyped-call]
            self._listening = asyncio.create_task(self._server.listen(host))
        return await asyncio.shield(self._listening)

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        return await self._commit_log.write(entries)

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self._commit_log.totals(tenant_id)

    async def beat(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        """Record heartbeats; return the spend this month of their tenants, and the rooms that are closed."""
        return HeartbeatReceipt(
            closed_rooms=frozenset(heartbeat.room for heartbeat in heartbeats if not self._rooms.beat(heartbeat)),
            spent_nanousd=self._commit_log.spent_nanousd({heartbeat.tenant_id for heartbeat in heartbeats}),
        )

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        self._rooms.close(room, job_id, opened_at_s, time.time())

    async def rooms_of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        return self._rooms.of(tenant_id, time.time())

    async def room_signal(self) -> RoomSignal:
        return self._rooms.signal(time.time())

    async def drain(self) -> int:
        """Seal and flush all settled events; return the number of open intents. Raises BackendError."""
        await self._commit_log.seal()
        await self._flusher.drain()
        return await self._commit_log.open_intents()


def start_aggregator(costs: CostSettings, backend: BackendSettings) -> Any:
    """Return the handle of the cluster's one aggregator; the first caller starts it. Blocks on Ray's control store."""
    actor: Any = ray.remote(Aggregator)
    return actor.options(
        name=NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        # Ray must not resend a call that kills the actor: the outbox resends, a limited time and by idempotent ids.
        max_task_retries=0,
        max_concurrency=MAX_CONCURRENCY,
        # The journal is a file on the head node.
        resources={"node:__internal_head__": 0.001},
    ).remote(costs, backend)


def find_aggregator() -> Any:
    """Return the handle of the running aggregator; raises ValueError when there is none."""
    return ray.get_actor(NAME, namespace=NAMESPACE)
