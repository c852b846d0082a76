"""The named Ray actor that records the costs and the open rooms of the cluster, or of one shard of its tenants."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.util import get_node_ip_address, list_named_actors

from cluster.aggregator.alert_sender import AlertSender
from cluster.aggregator.bill_reader import BillReader
from cluster.aggregator.cost_metrics import CostMetrics
from cluster.aggregator.deployment import (
    AggregatorSettings,
    DeployedVersion,
    newer,
    record_superseded,
    refuse_superseded,
)
from cluster.aggregator.messages import pack_receipts, unpack_entries, unpack_records
from cluster.aggregator.room_metrics import RoomMetrics, TopTenants
from cluster.aggregator.shared_rates import SharedRates
from cluster.aggregator.transport import TransportAddress
from cluster.aggregator.transport_server import TransportServer
from cluster.backend.factory import connect_backend
from cluster.backend.webhook import connect_webhook
from cluster.costs.archiver import Archiver
from cluster.costs.booking_clock import BookingClock
from cluster.costs.commit_log import CommitLog
from cluster.costs.flusher import Flusher
from cluster.costs.journal import Journal
from cluster.costs.models import Correction
from cluster.costs.sealer import Sealer
from cluster.costs.storage.shard_files import refuse_other_shards, shard_file_name, shard_path
from cluster.rooms.forecast import RoomSignal
from cluster.rooms.heartbeat_batcher import HeartbeatReceipt
from cluster.rooms.room_closer import RoomCloser
from routing.billing.bill import BillPage, BillQuery, Key
from routing.errors import ConfigurationError
from routing.models import RoomHeartbeat, TenantTotals
from routing.process import configure_logs, freeze_startup_objects
from routing.ratelimit import TakenRequests

NAME = "rayroom-aggregator"
NAMESPACE = "rayroom"
MAX_CONCURRENCY = 1_000
CLOSE_TIMEOUT_S = 5.0
METRICS_EVERY_S = 5.0
TENANTS_EVERY = 12
"""The tenants' spend is read with every so many of the others: it visits all accounts on the journal's thread."""
BILL_TIMEOUT_SHARE = 0.8

log = structlog.get_logger()


class Aggregator:
    """Commit, seal and flush costs, and keep the open rooms. Reads its journal again on every start.

    Raises SupersededDeployment when a newer deployment's aggregator has taken over.
    """

    def __init__(self, settings: AggregatorSettings, shard: int = 0) -> None:
        configure_logs()
        costs, backend = settings.costs, settings.backend
        self._deployment = settings.deployment
        self._shard = shard
        self._path = shard_path(Path(costs.journal_path), shard)
        refuse_superseded(self._path, self._deployment, time.time())
        self._journal = _open_journal(Path(costs.journal_path), shard, costs.shards)
        self._closer = RoomCloser(self._path.with_name(shard_file_name("closed_rooms.jsonl", shard)), time.time)
        self._rooms = self._closer.registry
        self._rates = SharedRates()
        self._clock = BookingClock(self._journal.last_booked_s())
        self._commit_log = CommitLog(
            self._journal, self._clock, self._rooms.ends, costs.outbox_grace_s, costs.budget_alerts
        )
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
            clock=self._clock,
        )
        # A page that takes longer finds its caller gone.
        self._bill = BillReader(self._path, costs.timeout_s * BILL_TIMEOUT_SHARE)
        self._sealer = Sealer(self._commit_log, costs.flush_every_s)
        loop = asyncio.get_running_loop()
        self._alerts = AlertSender(
            commit_log=self._commit_log,
            journal=self._journal,
            webhook=connect_webhook(costs.alert_webhook, os.environ),
            clock=self._clock,
        )
        self._archiver = Archiver(self._commit_log, self._journal, self._clock, costs.retain_months)
        timers = (self._sealer, self._flusher, self._alerts, self._archiver)
        self._loops = [loop.create_task(timer.run()) for timer in timers]
        self._loops.append(loop.create_task(self._show_metrics()))
        self._server = TransportServer(self._commit_log.write, self._commit_log)
        self._listening: asyncio.Task[TransportAddress] | None = None
        self._retiring: asyncio.Task[None] | None = None
        freeze_startup_objects()
        log.info("aggregator started", shard=shard, journal_id=self._journal.journal_id)

    async def address(self) -> TransportAddress:
        """Return the address of the cost transport: a port on this node's Ray address, and on no other interface."""
        if self._listening is None:
            host: str = get_node_ip_address()  # type: ignore[no-untyped-call]
            self._listening = asyncio.create_task(self._server.listen(host))
        return await asyncio.shield(self._listening)

    async def serves(self, deployment: DeployedVersion) -> bool:
        """Return whether this aggregator may serve the routers of a deployment, or a new one must take its place."""
        served = newer(self._deployment, deployment)
        self._deployment = served or self._deployment
        return served is not None

    async def retire(self, deployment: DeployedVersion) -> None:
        """Close the journal in order, for the aggregator of a newer deployment, and end this actor.

        Entries wait in the outboxes of routers and model replicas meanwhile.
        """
        if self._retiring is None:
            self._retiring = asyncio.create_task(self._close(deployment))
        # Whether or not it closed in order: the end of the process releases the journal.
        await asyncio.wait({self._retiring})
        exit_actor: Callable[[], None] = ray.actor.exit_actor
        exit_actor()

    async def _close(self, by: DeployedVersion) -> None:
        log.info("aggregator retired for a newer deployment")
        record_superseded(self._path, by, time.time())
        for loop in self._loops:
            loop.cancel()
        await asyncio.wait(self._loops, timeout=CLOSE_TIMEOUT_S)
        await self._commit_log.aclose()
        await self._server.aclose()

    async def write(self, message: bytes) -> bytes:
        """Write a message of entries; return the message of their receipts. Raises CostsUnavailable."""
        return pack_receipts(await self._commit_log.write(unpack_entries(message)))

    async def add_call_records(self, message: bytes) -> None:
        """Keep the call records of a model replica that reaches no port. Such a replica's records may be lost."""
        self._commit_log.add_call_records(unpack_records(message))
        self._commit_log.lose_call_records()

    async def correct(self, correction: Correction) -> bool:
        """Book a signed correction, such as a refund; return False for an unknown event and for a repeated one."""
        return await self._commit_log.correct(correction)

    async def ready(self) -> None:
        """Return if the journal's disk takes a commit; raises CostsUnavailable."""
        await self._commit_log.check_writable()

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self._commit_log.totals(tenant_id)

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage | None:
        """Return a page of the bill, or None where it is not read in time."""
        return await self._bill.page(query, after, limit)

    async def beat(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        """Record heartbeats; return the spend of each room and its tenant, and the rooms that are closed."""
        return HeartbeatReceipt(
            closed_rooms=frozenset(heartbeat.room for heartbeat in heartbeats if not self._rooms.beat(heartbeat)),
            spent={one.room: self._commit_log.spent(one.tenant_id, one.room) for one in heartbeats},
        )

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        await self._closer.close(room, job_id, opened_at_s)

    async def exchange_rates(self, replica: str, taken: list[TakenRequests]) -> list[TakenRequests]:
        """Pass on the requests that a router replica admitted; return those of the others since its last call."""
        return self._rates.exchange(replica, taken, time.monotonic())

    async def rooms_of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        return self._rooms.of(tenant_id, time.time())

    async def room_signal(self) -> RoomSignal:
        return self._rooms.signal(time.time())

    async def cost_metrics(self) -> dict[str, float]:
        """Return the figures that tell an operator how the bill stands, by name."""
        counts = await self._commit_log.run_on_journal_thread(self._journal.sending.counts)
        alerts = {"unsent_alerts": await self._alerts.unsent(), "given_up_alerts": self._alerts.given_up}
        failures = {"seal_failures": self._sealer.failures, "archive_failures": self._archiver.failures}
        own = {"rooms_left_out": self._rooms.left_out, "event_loop_tasks": len(asyncio.all_tasks())}
        return {**await self._commit_log.metrics(), **asdict(counts), **alerts, **failures, **own}

    async def _show_metrics(self) -> None:
        costs, rooms, top = CostMetrics(self._shard), RoomMetrics(self._shard), TopTenants()
        spend = dict[str, int]()
        for number in count():
            await asyncio.sleep(METRICS_EVERY_S)
            try:
                costs.show(await self.cost_metrics())
                if number % TENANTS_EVERY == 0:
                    spend = top.spend(await self._commit_log.spend_of_month())
                open_rooms = self._rooms.signal(time.time()).open_rooms
                # Every time, although it is as before: Ray forgets a gauge that is not recorded for a while.
                rooms.show(open_rooms, self._rooms.sums.totals, spend)
            except Exception as error:
                log.warning("metrics failed", error=type(error).__name__)

    async def drain(self) -> int:
        """Seal and flush all settled events; return the number of open intents. Raises BackendError."""
        await self._commit_log.seal()
        await self._flusher.drain()
        return await self._commit_log.open_intents()


def _open_journal(path: Path, shard: int, shards: int) -> Journal:
    try:
        refuse_other_shards(path, shards)
        return Journal(shard_path(path, shard), shards)
    except ConfigurationError as error:
        # The callers only see that the actor died, and answer 503; the reason is in this log.
        log.error("journal refused", reason=error.message)
        raise


def actor_name(shard: int) -> str:
    """Return the name of a shard's actor. The first one has no number: it holds the journal that was there before."""
    return f"{NAME}-{shard}" if shard else NAME


def start_aggregator(settings: AggregatorSettings, shard: int = 0) -> Any:
    """Return the handle of a shard's one aggregator; the first caller starts it. Blocks on Ray's control store."""
    actor: Any = ray.remote(Aggregator)
    return actor.options(
        name=actor_name(shard),
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        # Ray must not resend a call that kills the actor: the outbox resends, a limited time and by idempotent ids.
        max_task_retries=0,
        max_concurrency=MAX_CONCURRENCY,
        # Ray's control store would keep a row for each of the last 100,000 calls, as it does not for replicas of Serve.
        enable_task_events=False,
        # The journal is a file on the head node.
        resources={"node:__internal_head__": 0.001},
    ).remote(settings, shard)


def find_aggregator(shard: int = 0) -> Any:
    """Return the handle of a shard's running aggregator; raises ValueError when there is none."""
    return ray.get_actor(actor_name(shard), namespace=NAMESPACE)


def find_aggregators() -> list[Any]:
    """Return the handles of the running aggregators of all shards."""
    named = list_named_actors(all_namespaces=True)
    names = {actor["name"] for actor in named if actor["namespace"] == NAMESPACE}
    return [ray.get_actor(name, namespace=NAMESPACE) for name in sorted(names) if name.startswith(NAME)]
