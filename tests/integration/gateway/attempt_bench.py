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
ASKED = (Message(role="user", content=("What is on the screen?",)),)
TOLD = Usage(input_tokens=10, output_tokens=2)
TIMEOUTS = AttemptTimeouts(attempt_s=5.0, first_token_s=5.0, between_tokens_s=5.0, total_s=5.0)
Plan = tuple[str | float | Exception | Delta | Usage | None, ...]
"""The steps of a vendor: words, waits and a failure; a usage, or None where none is reported, ends the answer."""


@dataclass
class Book:
    """Costs in memory. As in the outbox of a replica, a settlement is posted before it is awaited."""

    reserve_s: float = 0.0
    refusals: list[RayroomError | None] = field(default_factory=list)
    settles: bool = True
    intents: dict[str, Intent] = field(default_factory=dict)
    settled: list[Settlement] = field(default_factory=list)

    async def reserve(self, intent: Intent) -> int:
        await asyncio.sleep(self.reserve_s)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.intents[intent.event_id] = intent
        return 0

    async def settle(self, settlement: Settlement) -> None:
        if not self.settles:
            raise CostsUnavailable(retry_after_s=1.0)
        self.settled.append(settlement)
        await asyncio.sleep(0)

    async def record(self, entries: Sequence[Intent | Settlement]) -> int:
        raise NotImplementedError

    async def totals(self, tenant_id: str) -> TenantTotals:
        raise NotImplementedError

    def lines(self) -> list[tuple[str, int, bool]]:
        """Return each attempt's model, cost and whether that is an estimate; every intent is settled once."""
        assert sorted(settlement.event_id for settlement in self.settled) == sorted(self.intents)
        return [(self.intents[s.event_id].model, s.cost_nanousd, s.estimated) for s in self.settled]


@dataclass
class Vendors:
    """Models that follow their plans, and count the streams that are still open."""

    plans: dict[str, list[Plan]]
    asks: list[ModelRequest | EmbedRequest] = field(default_factory=list)
    open: int = 0

    @property
    def asked(self) -> list[str]:
        return [ask.model for ask in self.asks]

    async def answer(self, ask: ModelRequest) -> Answer:
        return joined_answer([delta async for delta in self.stream(ask)], ask.model, False)

    async def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.asks.append(ask)
        self.open += 1
        try:
            for step in self.plans[ask.model].pop(0):
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

    async def embed(self, ask: EmbedRequest) -> EmbeddingResult:
        self.asks.append(ask)
        return EmbeddingResult(vectors=((1.0,) * 1_024,), model=ask.model, usage=None)


@dataclass
class Desk:
    """The attempts of one replica over costs and vendors of its own."""

    vendors: Vendors
    book: Book = field(default_factory=Book)
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
            Meter(self.book, self.catalogue, frozenset(), 60.0, time.time),
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


def order(*targets: str, stronger: tuple[str, ...] = (), timeouts: AttemptTimeouts = TIMEOUTS) -> RoutedRequest:
    tenant: Tenant = TENANTS[0]
    return RoutedRequest(
        billing=BillingContext(tenant=tenant, room="tenant_acme_standup", service="llm"),
        decision=Decision(
            tier=Tier.SIMPLE, targets=targets, score=0.1, threshold=0.5, reasons=("short",), stronger=stronger
        ),
        messages=ASKED,
        max_output_tokens=64,
        timeouts=timeouts,
    )


def most(model: str, asked: ModelRequest | EmbedRequest) -> Usage:
    """Return the largest possible usage of a request."""
    return estimate_embedding(asked) if isinstance(asked, EmbedRequest) else estimate_chat(CATALOGUE.get(model), asked)


def expected(model: str, asked: ModelRequest | EmbedRequest) -> Usage:
    """Return the usage of the answer that is expected of a request to a model that has not answered yet."""
    return UsageMeans().expected(most(model, asked))


def cost(model: str, usage: Usage) -> int:
    (price,) = [row for row in CATALOGUE.prices.rows if row.model == model]
    return price.cost_nanousd(usage)
