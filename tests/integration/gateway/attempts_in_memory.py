"""The attempts of one replica over costs in memory and vendors that follow a plan."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from deployments.gateway import attempts
from deployments.gateway.failover import Failover
from deployments.gateway.metering import BillingContext, Meter
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.models import AttemptTimeouts, RoutedAnswer, RoutedRequest
from routing.billing.usage_means import UsageMeans
from routing.breaker import Breakers, BreakerSettings
from routing.catalogue import Catalogue, load_catalogue
from routing.chat import Message
from routing.deltas import joined_answer
from routing.errors import CostsUnavailable, RayroomError
from routing.estimates import estimate_chat, estimate_embedding
from routing.models import (
    Answer,
    Delta,
    EmbeddingResult,
    EmbedRequest,
    Intent,
    ModelRequest,
    Settlement,
    Spending,
    Tenant,
    TenantTotals,
    Tier,
    Usage,
)
from routing.policy import Decision
from routing.retry import RetrySettings
from tests.support.gateway import TENANTS

CATALOGUE = load_catalogue()
LUNA, FLASH, SOL, MIXED = "gpt-6-luna", "gemini-3.5-flash-lite", "gpt-6.1-sol", "voyage-multimodal-3.5"
MESSAGES = (Message(role="user", content=("What is on the screen?",)),)
USAGE = Usage(input_tokens=10, output_tokens=2)
TIMEOUTS = AttemptTimeouts(attempt_s=5.0, first_token_s=5.0, between_tokens_s=5.0, total_s=5.0)
Plan = tuple[str | float | Exception | Delta | Usage | None, ...]
"""The steps of a vendor: words, waits and a failure; a usage, or None where none is reported, ends the answer."""


@dataclass
class CostsInMemory:
    """Costs in memory. As in the outbox of a replica, a settlement is posted before it is awaited."""

    reserve_s: float = 0.0
    refusals: list[RayroomError | None] = field(default_factory=list)
    settles: bool = True
    intents: dict[str, Intent] = field(default_factory=dict)
    settled: list[Settlement] = field(default_factory=list)

    async def reserve(self, intent: Intent) -> Spending:
        await asyncio.sleep(self.reserve_s)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.intents[intent.event_id] = intent
        return Spending()

    async def settle(self, settlement: Settlement) -> None:
        if not self.settles:
            raise CostsUnavailable(retry_after_s=1.0)
        self.settled.append(settlement)
        await asyncio.sleep(0)

    async def record(self, entries: Sequence[Intent | Settlement]) -> Spending:
        self.intents |= {entry.event_id: entry for entry in entries if isinstance(entry, Intent)}
        self.settled += [entry for entry in entries if isinstance(entry, Settlement)]
        return Spending(month_nanousd=sum(entry.cost_nanousd for entry in self.settled))

    async def totals(self, tenant_id: str) -> TenantTotals:
        spent_nanousd = sum(entry.cost_nanousd for entry in self.settled)
        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=spent_nanousd,
            reserved_nanousd=0,
            sent_nanousd=0,
            requests=len(self.settled),
            estimated_requests=0,
            by_model=(),
        )

    def bill(self) -> list[tuple[str, int, bool]]:
        """Return each attempt's model, cost and whether that is an estimate; every intent is settled once."""
        assert sorted(settlement.event_id for settlement in self.settled) == sorted(self.intents)
        return [(self.intents[s.event_id].model, s.cost_nanousd, s.estimated) for s in self.settled]


@dataclass
class Vendors:
    """Models that follow their plans, and count the streams that are still open."""

    plans: dict[str, list[Plan]]
    requests: list[ModelRequest | EmbedRequest] = field(default_factory=list)
    open: int = 0

    @property
    def called_models(self) -> list[str]:
        return [request.model for request in self.requests]

    async def answer(self, request: ModelRequest) -> Answer:
        return joined_answer([delta async for delta in self.stream(request)], request.model, False)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        self.open += 1
        try:
            for step in self.plans[request.model].pop(0):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Delta):
                    yield step
                elif isinstance(step, str):
                    yield Delta(text=step)
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield Delta(finish="stop", usage=step)
        finally:
            self.open -= 1

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        self.requests.append(request)
        return EmbeddingResult(vectors=((1.0,) * 1_024,), model=request.model, usage=None)


@dataclass
class AttemptRunner:
    """The attempts of one replica over costs and vendors of its own."""

    vendors: Vendors
    costs: CostsInMemory = field(default_factory=CostsInMemory)
    retries: RetrySettings = field(default_factory=lambda: RetrySettings(first_wait_s=1e-6))
    breakers: BreakerSettings = field(default_factory=BreakerSettings)
    catalogue: Catalogue = field(default_factory=lambda: CATALOGUE)
    metrics: GatewayMetrics | None = None
    first_token_p99_s: dict[str, float] = field(default_factory=dict)
    failover: Failover = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(7)
        self.failover = Failover(
            self.catalogue,
            Meter(self.costs, self.catalogue, frozenset(), 60.0, time.time),
            self.retries,
            Breakers(rng, self.breakers),
            rng,
            time.monotonic,
            self.metrics,
            self.first_token_p99_s,
        )

    async def answer(self, request: RoutedRequest) -> RoutedAnswer:
        return await attempts.answer(self.failover, self.vendors, request)

    async def streamed(self, request: RoutedRequest) -> list[Delta | RoutedAnswer]:
        return [piece async for piece in attempts.stream(self.failover, self.vendors, request)]

    async def embed(self, request: RoutedRequest) -> tuple[EmbeddingResult, int]:
        return await attempts.embed(self.failover, self.vendors, request)


def routed_request(
    *targets: str, stronger: tuple[str, ...] = (), timeouts: AttemptTimeouts = TIMEOUTS
) -> RoutedRequest:
    tenant: Tenant = TENANTS[0]
    return RoutedRequest(
        billing=BillingContext(tenant=tenant, room="tenant_acme_standup", service="llm"),
        decision=Decision(
            tier=Tier.SIMPLE, targets=targets, score=0.1, threshold=0.5, reasons=("short",), stronger=stronger
        ),
        messages=MESSAGES,
        max_output_tokens=64,
        timeouts=timeouts,
    )


def largest_usage(model: str, request: ModelRequest | EmbedRequest) -> Usage:
    """Return the largest possible usage of a request."""
    return (
        estimate_embedding(request)
        if isinstance(request, EmbedRequest)
        else estimate_chat(CATALOGUE.get(model), request)
    )


def expected_usage(model: str, request: ModelRequest | EmbedRequest) -> Usage:
    """Return the usage of the answer that is expected of a request to a model that has not answered yet."""
    return UsageMeans().expected(largest_usage(model, request))


def cost(model: str, usage: Usage) -> int:
    (price,) = [row for row in CATALOGUE.prices.rows if row.model == model]
    return price.cost_nanousd(usage)
