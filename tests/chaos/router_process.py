"""Run a router's part of the money path with its clients: reserve, call a model replica, settle, answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.aggregator.messages import pack_entries, unpack_receipts
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import CostTransport, connect
from cluster.costs.models import Entry, Receipt
from deployments.gateway.metering import BillingContext, Meter, MeteredAttempt
from routing.catalogue import load_catalogue
from routing.errors import CostsUnavailable, ReplicaLost
from routing.models import Tenant, TenantTotals, Usage
from tests.chaos.leaf_process import AddressFile, connected, delta_of
from tests.chaos.vendor import send_line

MODELS = ("gpt-6-luna", "claude-haiku-5-5", "gemini-3.5-flash-lite")
MOST = Usage(input_tokens=500, output_tokens=300)
CALL_TIMEOUT_S = 10.0
LEAVING_SHARE = 0.15
"""The share of the clients that leave before the end of their answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPlan:
    """One router with its clients; each writes its answers to the log."""

    name: str
    seed: int
    tenants: int
    clients: int
    leaves: tuple[Path, ...]
    address: Path
    log: Path
    grace_s: float
    pause_s: float


class RouterCosts(CostOutbox):
    """The outbox as `Costs`; nobody asks a router of this run for totals."""

    async def totals(self, tenant_id: str) -> TenantTotals:
        raise CostsUnavailable


class RouterProcess:
    """Clients in closed loops, until SIGTERM; then the outbox is emptied."""

    def __init__(self, plan: RouterPlan) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)
        self._address = AddressFile(plan.address)
        self._transport = CostTransport(self._address.find, self._call)
        self._outbox = RouterCosts(self._transport.write, timeout_s=5.0)
        self._models = load_catalogue()
        self._meter = Meter(self._outbox, self._models, frozenset(), plan.grace_s, time.time)
        self._log = os.open(plan.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._ending = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        async with asyncio.TaskGroup() as group:
            for client in range(self._plan.clients):
                group.create_task(self._client(client))
        # `aclose` gives up after some seconds; a run must not lose a settlement to a busy machine.
        while self._outbox.waiting:
            await asyncio.sleep(0.05)
        await self._outbox.aclose()
        await self._transport.aclose()

    async def _call(self, entries: list[Entry]) -> Sequence[Receipt]:
        """Write entries as an actor call does, while a busy machine lets no connection be made in time."""
        connection = await connect(await self._address.find())
        try:
            return unpack_receipts(await connection.exchange(pack_entries(entries)))
        finally:
            await connection.aclose()

    async def _client(self, number: int) -> None:
        while not self._ending.is_set():
            tenant = f"tenant-{self._rng.randrange(self._plan.tenants):02d}"
            await self._request(_tenant(tenant), number)
            await asyncio.sleep(self._rng.uniform(0, self._plan.pause_s))

    async def _request(self, tenant: Tenant, number: int) -> None:
        rng, model = self._rng, self._models.get(self._rng.choice(MODELS))
        billing = BillingContext(tenant=tenant, room=f"{self._plan.name}-{number}", service="llm")
        attempt = self._meter.attempt(billing, model, MOST, 1, CALL_TIMEOUT_S)
        seconds = rng.uniform(0.1, 0.6)
        leaves_after_s = rng.uniform(0, seconds) if rng.random() < LEAVING_SHARE else None
        call = {"event_id": attempt.intent.event_id, "tenant_id": tenant.tenant_id, "model": model.name}
        tokens = {"input_tokens": rng.randrange(150, 250), "output_tokens": rng.randrange(40, 80)}
        message = {**call, **tokens, "seconds": seconds, "most": MOST.nonzero()}
        status, vendor_called = "ok", True
        try:
            async with asyncio.timeout(leaves_after_s), attempt:
                attempt.streamed = True
                await self._receive(attempt, message)
        except TimeoutError:
            status = "left"
        except CostsUnavailable as error:
            status, vendor_called = "unavailable", bool(error.facts.get("vendor_called"))
        except ReplicaLost:
            status = "replica lost"
        answer = {**call, "status": status, "vendor_called": vendor_called, "cost_nanousd": attempt.cost_nanousd}
        # One write of one line: a killed process leaves no half of it.
        os.write(self._log, json.dumps(answer).encode() + b"\n")

    async def _receive(self, attempt: MeteredAttempt, message: dict[str, object]) -> None:
        try:
            async with connected(self._rng.choice(self._plan.leaves)) as (reader, writer):
                await send_line(writer, message)
                while True:
                    delta = delta_of(json.loads(await reader.readuntil()))
                    attempt.received.add(delta)
                    if delta.finish is not None:
                        return
        except (OSError, asyncio.IncompleteReadError):
            raise ReplicaLost from None


def _tenant(name: str) -> Tenant:
    return Tenant(tenant_id=name, name=name, plan="pro", active=True, budget_nanousd=None, requests_per_minute=None)


async def _serve(plan: RouterPlan) -> None:
    await RouterProcess(plan).run()


def serve_router(plan: RouterPlan) -> None:
    """Be the process."""
    asyncio.run(_serve(plan))
