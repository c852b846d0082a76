"""A gateway in this process: real model replicas, a real journal on disk, no Ray; and a JPEG for its routes."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image, ImageDraw

from cluster.aggregator.shared_rates import SharedRates
from cluster.bill.reader import read_bill
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.rooms.registry import RoomRegistry
from deployments.api.access.keys import Keys, KeySource
from deployments.api.access.room_tokens import RoomToken
from deployments.api.chat.schemas import ChatRequest
from deployments.common.settings import (
    EmbeddingsSettings,
    KnowledgeSettings,
    RoomSettings,
    ServiceSettings,
    SimulationSettings,
    VendorSettings,
    VisionSettings,
)
from deployments.gateway.metrics import ServeMetrics, router_instruments
from deployments.gateway.models import BackendDirectory, GatewaySettings, ModelHandles, RoutedAnswer
from deployments.gateway.service import Gateway
from deployments.model_replica import ModelReplica
from deployments.routes import build_routes
from routing.billing.bill import BillPage, BillQuery, Key
from routing.breaker import BreakerSettings
from routing.catalogue import Catalogue, load_catalogue
from routing.errors import BudgetExceeded, RoomClosed, TenantUnknown
from routing.fairness import FairnessSettings
from routing.models import (
    Delta,
    Intent,
    Passage,
    RefusedField,
    RefusedSource,
    RoomHeartbeat,
    Settlement,
    Spending,
    Tenant,
    TenantTotals,
)
from routing.ratelimit import TakenRequests
from routing.records.models import MeetingRecord, ReportAnswer
from routing.retry import RetrySettings
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool
from tests.support.recorded_instruments import RecordedInstruments
from tests.support.scripted_replica import ScriptedReplica

KEYS = Keys(
    agent=("agent-key-0123456789", "agent-key-next-one-1"), admin=("admin-key-0123456789",), token_secret="s" * 32
)
FAST = SimulationSettings(seed=7, speed=10_000)
CATALOGUE = load_catalogue()
SIMULATED = {
    "gemini": VendorSettings(api="gemini", simulated=True),
    "anthropic": VendorSettings(api="anthropic", simulated=True),
    "openai": VendorSettings(api="openai", simulated=True),
    "voyage": VendorSettings(api="voyage", simulated=True),
}
TENANTS = (
    Tenant(tenant_id="acme", name="Acme", plan="pro", active=True, budget_nanousd=None, requests_per_minute=None),
    Tenant(tenant_id="globex", name="Globex", plan="free", active=True, budget_nanousd=None, requests_per_minute=None),
    Tenant(
        tenant_id="initech", name="Initech", plan="free", active=False, budget_nanousd=None, requests_per_minute=None
    ),
    Tenant(tenant_id="poor", name="Poor", plan="free", active=True, budget_nanousd=100, requests_per_minute=None),
    Tenant(tenant_id="slow", name="Slow", plan="free", active=True, budget_nanousd=None, requests_per_minute=6),
)


def jpeg(width_px: int = 640, height_px: int = 360, text: str = "hello") -> bytes:
    image = Image.new("RGB", (width_px, height_px), "white")
    ImageDraw.Draw(image).text((20, 20), text, fill="black")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@dataclass
class Tenants:
    """A directory in memory."""

    tenants: dict[str, Tenant] = field(default_factory=lambda: {tenant.tenant_id: tenant for tenant in TENANTS})
    offered: tuple[UncheckedTool, ...] = ()
    called: list[ToolInvocation] = field(default_factory=list)
    parts: list[MeetingRecord] = field(default_factory=list)
    refused: list[tuple[str, RefusedSource, tuple[RefusedField, ...]]] = field(default_factory=list)

    async def tenant(self, tenant_id: str) -> Tenant:
        if tenant_id not in self.tenants:
            raise TenantUnknown(param="tenant_id")
        return self.tenants[tenant_id]

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        return ()

    async def tools(self, tenant_id: str) -> tuple[UncheckedTool, ...]:
        return self.offered

    async def call_tool(self, call: ToolInvocation) -> ToolResult:
        self.called.append(call)
        return ToolResult(text=f"{call.tool} says forty two")

    async def report_record(self, record: MeetingRecord) -> ReportAnswer:
        self.parts.append(record)
        return ReportAnswer(outcome="stored")

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        return 0

    def report_refused(self, tenant_id: str, source: RefusedSource, fields: Sequence[RefusedField]) -> None:
        self.refused.append((tenant_id, source, tuple(fields)))


class InProcessCluster:
    """The costs and rooms of one process: the aggregator without its actor."""

    def __init__(self, path: Path) -> None:
        self.clock = time.time
        self.journal = Journal(path)
        self.rooms = RoomRegistry()
        self.rates = SharedRates()
        self.recorder = CommitLog(self.journal, lambda: self.clock(), self.rooms.ends)

    async def ready(self) -> None:
        await self.recorder.check_writable()

    async def reserve(self, intent: Intent) -> Spending:
        (receipt,) = await self.recorder.write([intent])
        if isinstance(receipt, BudgetExceeded | RoomClosed):
            raise receipt
        return receipt

    async def settle(self, settlement: Settlement) -> None:
        await self.recorder.write([settlement])

    async def record(self, entries: Sequence[Intent | Settlement]) -> Spending:
        receipts = [one for one in await self.recorder.write(entries) if isinstance(one, Spending)]
        return max(receipts, key=lambda one: one.month_nanousd)

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self.recorder.totals(tenant_id)

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage:
        return await asyncio.to_thread(read_bill, self.journal.path, query, after, limit)

    async def beat(self, beat: RoomHeartbeat) -> Spending:
        if not self.rooms.beat(beat):
            raise RoomClosed
        return self.recorder.spent(beat.tenant_id, beat.room)

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        self.rooms.close(room, job_id, opened_at_s, self.clock())

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        return self.rooms.of(tenant_id, self.clock())

    async def exchange_rates(self, replica: str, taken: Sequence[TakenRequests]) -> Sequence[TakenRequests]:
        return self.rates.exchange(replica, taken, self.clock())

    async def aclose(self) -> None:
        await self.recorder.aclose()

    async def events(self) -> list[dict[str, object]]:
        with closing(self.journal.reader()) as reader:
            return reader.events()


@asynccontextmanager
async def gateway_in_process(
    path: Path,
    vendors: dict[str, VendorSettings] = SIMULATED,
    simulation: SimulationSettings = FAST,
    llm: ServiceSettings | None = None,
    leaf: ModelReplica | ScriptedReplica | None = None,
    directory: BackendDirectory | None = None,
    catalogue: Catalogue | None = None,
    instruments: RecordedInstruments | None = None,
    keys: KeySource = KEYS,
    **changes: Any,
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    """Yield a gateway and its costs; `changes` replace fields of its GatewaySettings."""
    cluster = InProcessCluster(path / "journal.db")
    leaf = leaf or ModelReplica(vendors, simulation, CATALOGUE)
    settings = GatewaySettings(
        vision=VisionSettings(simple=("gemini-3.5-flash-lite", "gpt-6-luna"), complex=("claude-sonnet-5-5",)),
        llm=llm or ServiceSettings(simple=("gpt-6-luna", "gemini-3.5-flash-lite"), complex=("gpt-6.1-sol",)),
        embeddings=EmbeddingsSettings(models=("voyage-multimodal-3.5",)),
        rooms=RoomSettings(),
        simulated_vendors=frozenset(name for name, vendor in vendors.items() if vendor.simulated),
        intent_grace_s=60,
        breakers=BreakerSettings(),
        retries=RetrySettings(first_wait_s=0.01),
        fairness=FairnessSettings(),
        knowledge=KnowledgeSettings(),
    )
    handles = ModelHandles(vision=leaf, llm=leaf, embeddings=leaf)
    settings = replace(settings, **changes)
    models = catalogue or CATALOGUE
    metrics = None
    if instruments is not None:
        metrics = ServeMetrics(router_instruments(settings, models, instruments.make, wait_s=0.0))
    gateway = Gateway(
        settings, models, keys, handles, cluster, directory or Tenants(), rng=random.Random(7), metrics=metrics
    )
    yield gateway, cluster
    await leaf.aclose()
    await cluster.aclose()


async def chat(gateway: Gateway, token: RoomToken, request: ChatRequest) -> RoutedAnswer:
    """Return the answer to a turn, as its route does."""
    return await gateway.chat(await gateway.admit(token, "llm"), request)


async def chat_stream(
    gateway: Gateway, token: RoomToken, request: ChatRequest
) -> AsyncGenerator[Delta | RoutedAnswer, None]:
    """Return the stream of the answer to a turn, as its route does."""
    return gateway.chat_stream(await gateway.admit(token, "llm"), request)


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[str]:
    """Yield the address of the gateway's routes behind a real server."""
    config = uvicorn.Config(build_routes(gateway), port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
