"""Answers each kind of request: checks who asks, decides, has it answered and billed. Knows neither HTTP nor Ray."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from deployments.api.auth import Keys, RoomToken, Tokens, issue_token
from deployments.api.jpeg import inspect_jpeg
from deployments.api.schemas import (
    ChatRequest,
    EmbeddingRequest,
    FrameHeaders,
    Heartbeat,
    KnowledgeSearch,
    OpenRoom,
    to_inputs,
    to_messages,
)
from deployments.common.settings import (
    EmbeddingsSettings,
    KnowledgeSettings,
    RoomSettings,
    ServiceSettings,
    VisionSettings,
)
from deployments.gateway.failover import (
    AnswerHandle,
    AttemptTimeouts,
    CandidateQueue,
    EmbedHandle,
    Failover,
    RoutedAnswer,
    RoutedRequest,
    StreamHandle,
)
from deployments.gateway.metering import BillingContext, BudgetStatus, Meter, budget_of
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.retrieval import SearchResult, cut, find, to_question
from deployments.gateway.speech_metering import SpeechMetering
from routing.breaker import Breakers, BreakerSettings
from routing.catalogue import Catalogue
from routing.complexity import Complexity, TurnFeatures, score_frame, score_turn
from routing.errors import BadInput, TenantSuspended
from routing.evidence import needs_stronger
from routing.fairness import FairnessSettings, FairShare
from routing.hedge import HedgeSettings
from routing.models import (
    Answer,
    Costs,
    Delta,
    Directory,
    EmbeddingResult,
    Message,
    RoomHeartbeat,
    Rooms,
    Service,
    Tenant,
    TenantTotals,
    Tier,
)
from routing.policy import AUTO, Decision, ServiceRoutes, TenantStanding, choose, fitting, seeing, seen
from routing.ratelimit import TenantLimits
from routing.retry import Deadline, RetrySettings
from routing.rooms import check_metadata, parse_room
from routing.share import ShareControl, ShareTarget

SEARCHES_A_REQUEST = 4.0
"""An agent looks up what it foresees of a question, up to three times, and then what was asked."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What a gateway is told at start."""

    vision: VisionSettings
    llm: ServiceSettings
    embeddings: EmbeddingsSettings
    rooms: RoomSettings
    simulated_vendors: frozenset[str]
    intent_grace_s: float
    breakers: BreakerSettings
    retries: RetrySettings
    hedging: HedgeSettings
    fairness: FairnessSettings
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReply:
    """What an agent hears after a beat: its token, the usage ids that are durable now, how the budget stands."""

    token: RoomToken
    taken: tuple[str, ...]
    budget: BudgetStatus | None


class ClusterClient(Costs, Rooms, Protocol):
    """The costs and the rooms of the whole cluster."""

    async def aclose(self) -> None:
        """Deliver what is still to be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHandles:
    """The deployments that ask the vendors."""

    vision: AnswerHandle
    llm: StreamHandle
    embeddings: EmbedHandle
    started: Callable[[], Awaitable[None]] | None = None
    """Returns once all three can answer, where they are elsewhere and take time to come."""


class Gateway:
    """The router without its shell. Every method raises RayroomError and nothing else that is not a bug."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: Keys,
        leaves: ModelHandles,
        world: ClusterClient,
        directory: Directory,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        signals: GatewayMetrics | None = None,
    ) -> None:
        rng = rng or random.Random()
        self.settings = settings
        self.catalogue = catalogue
        self.keys = keys
        self.tokens = Tokens(keys)
        self._leaves = leaves
        self._world = world
        self._directory = directory
        self._clock = clock
        self._limits = TenantLimits()
        # Of their own: a search that is made while somebody still speaks must not take the place of the answer.
        self._search_limits = TenantLimits(times=SEARCHES_A_REQUEST)
        self._fair = FairShare(settings.fairness)
        self._vision = _Service.of("vision", settings.vision, rng)
        self._llm = _Service.of("llm", settings.llm, rng)
        self._meter = Meter(world, catalogue, settings.simulated_vendors, settings.intent_grace_s, clock)
        self._speech = SpeechMetering(catalogue, settings.simulated_vendors, settings.intent_grace_s)
        targets = CandidateQueue(settings.retries, Breakers(rng, settings.breakers), rng, time.monotonic, signals)
        self._attempts = Failover(catalogue, self._meter, targets, time.monotonic, settings.hedging)

    async def open_room(self, request: OpenRoom) -> tuple[RoomToken, Tenant]:
        """Return a token for the room's tenant; raises for a bad name, another tenant's metadata, or no such tenant.

        A dead job may tell what it used whatever has become of its tenant: all that costs asks for that again.
        """
        name = parse_room(request.room)
        check_metadata(name, request.metadata)
        tenant = await self._active(name.tenant_id, request.ended)
        token = issue_token(name, request.job_id, self.settings.rooms.token_ttl_s, self._clock())
        if not request.ended:
            await self._world.beat(self._beat(token, {}))
            log.info("room opened", room=name.room, job=request.job_id)
        return token, tenant

    async def heartbeat(self, token: RoomToken, beat: Heartbeat) -> HeartbeatReply:
        """Write an agent's speech usage down and remember its counters; its token is fresh when half its time is over.

        The usage comes first: what is spent is owed, whatever has become of the tenant since.
        """
        await self._meter.spent(token.tenant_id, self._speech.entries(token, beat.usage, self._clock()))
        tenant = await self._active(token.tenant_id, beat.ended)
        # What is spent only the one ledger knows: what this replica last heard may be a part, or of another month.
        spent_nanousd = None if beat.ended else await self._world.beat(self._beat(token, beat.counters))
        taken = tuple(dict.fromkeys(one.id for one in beat.usage))
        return HeartbeatReply(token=self._renewed(token), taken=taken, budget=budget_of(tenant, spent_nanousd))

    def _renewed(self, token: RoomToken) -> RoomToken:
        ttl_s = self.settings.rooms.token_ttl_s
        if token.expires_at_s - self._clock() > ttl_s / 2:
            return token
        return issue_token(token.name, token.job_id, ttl_s, self._clock(), token.opened_at_s)

    async def close_room(self, token: RoomToken) -> TenantTotals:
        await self._world.close(token.name.room, token.job_id)
        log.info("room closed", room=token.name.room, job=token.job_id)
        return await self._world.totals(token.tenant_id)

    async def frame(self, token: RoomToken, headers: FrameHeaders, jpeg: bytes) -> RoutedAnswer:
        """Describe a frame."""
        settings = self.settings.vision
        inspect_jpeg(jpeg, settings.max_image_px)
        payer = await self._payer(token, "vision", self._limits)
        decision = self._decide(self._vision, AUTO, score_frame(headers.features()), payer.tenant)
        messages = (Message(role="user", text=settings.prompt, images=(jpeg,)),)
        return await self._answer(self._vision, self._leaves.vision, _order(payer, decision, messages, settings))

    async def chat(self, token: RoomToken, request: ChatRequest) -> RoutedAnswer:
        return await self._answer(self._llm, self._leaves.llm, await self._chat_order(token, request))

    async def chat_stream(self, token: RoomToken, request: ChatRequest) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        order = await self._chat_order(token, request)
        return self._in_a_slot(order.payer, self._attempts.stream(self._leaves.llm, order))

    async def embed(self, token: RoomToken, request: EmbeddingRequest) -> tuple[EmbeddingResult, int]:
        """Return the inputs' vectors, and what they cost."""
        inputs = to_inputs(request, self.settings.vision.max_image_px)
        total_s = self.settings.embeddings.total_timeout_s
        order = await self._embed_order(token, request.model, inputs, total_s, self._limits)
        with self._fair.slot(token.tenant_id, self._clock()):
            return await self._attempts.embed(self._leaves.embeddings, order)

    async def search(self, token: RoomToken, request: KnowledgeSearch) -> SearchResult:
        """Return the passages of the token's tenant for a question; raises ProviderError or BackendError."""
        settings = self.settings.knowledge
        deadline = Deadline.after(settings.timeout_s, time.monotonic())
        asked = to_question(request, self.settings.vision.max_image_px)
        question = seen(self._embed_decision(AUTO), self.catalogue, asked, self._today())
        order = await self._embed_order(token, AUTO, (question,), settings.timeout_s, self._search_limits)
        with self._fair.slot(token.tenant_id, self._clock()):
            embeddings, cost_nanousd = await self._attempts.embed(self._leaves.embeddings, order)
            left_s = deadline.remaining_s(time.monotonic())
            passages = await find(self._directory, token.tenant_id, request, embeddings, left_s)
        return SearchResult(
            passages=cut(passages, request.top_k, settings),
            model=embeddings.model,
            cost_nanousd=cost_nanousd,
            simulated=embeddings.simulated,
        )

    async def usage(self, tenant_id: str) -> tuple[TenantTotals, tuple[RoomHeartbeat, ...]]:
        """Return what a tenant owes so far and the rooms it has open; raises TenantUnknown."""
        await self._directory.tenant(tenant_id)
        return await self._world.totals(tenant_id), await self._world.of(tenant_id)

    async def ready(self) -> None:
        """Return when the cost journal answers and the leaves are there; raises CostsUnavailable or Overloaded."""
        await self._world.totals("-")
        if self._leaves.started is not None:
            await self._leaves.started()

    async def aclose(self) -> None:
        await self._world.aclose()

    async def _answer(self, service: _Service, leaf: AnswerHandle, order: RoutedRequest) -> RoutedAnswer:
        with self._fair.slot(order.payer.tenant.tenant_id, self._clock()):
            answered = await self._attempts.answer(leaf, order)
        if answered.decision.tier is not order.decision.tier:
            service.share.ruled("escalated", answered.decision.tier)
        return answered

    async def _in_a_slot(
        self, payer: BillingContext, pieces: AsyncGenerator[Delta | RoutedAnswer, None]
    ) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        with self._fair.slot(payer.tenant.tenant_id, self._clock()):
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    async def _chat_order(self, token: RoomToken, request: ChatRequest) -> RoutedRequest:
        settings = self.settings.llm
        messages = to_messages(request.messages, self.settings.vision.max_image_px)
        turn = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        if not turn.text.strip() and not turn.images:
            raise BadInput("The last user message is empty.", "messages")
        output_tokens = request.output_tokens(settings.max_output_tokens)
        payer = await self._payer(token, "llm", self._limits)
        decision = self._decide(self._llm, request.model, score_turn(_features(request, turn, messages)), payer.tenant)
        decision = fitting(
            decision, self.catalogue, messages, output_tokens, settings.max_input_tokens, request.output_field
        )
        order = _order(payer, decision, messages, settings)
        return replace(order, max_output_tokens=output_tokens, temperature=request.temperature)

    def _decide(self, service: _Service, wanted: str, complexity: Complexity, tenant: Tenant) -> Decision:
        standing = TenantStanding(plan=tenant.plan, budget_used=self._meter.budget_used(tenant))
        return choose(
            wanted,
            complexity,
            service.routes,
            service.name,
            self.catalogue,
            share=service.share,
            standing=standing,
            today=self._today(),
        )

    async def _embed_order(
        self, token: RoomToken, wanted: str, inputs: tuple[Message, ...], total_s: float, limits: TenantLimits
    ) -> RoutedRequest:
        once_s = min(self.settings.embeddings.attempt_timeout_s, total_s)
        decision = seeing(self._embed_decision(wanted), self.catalogue, inputs, self._today())
        return RoutedRequest(
            payer=await self._payer(token, "embeddings", limits),
            decision=decision,
            messages=inputs,
            max_output_tokens=0,
            temperature=None,
            timers=AttemptTimeouts(attempt_s=once_s, first_token_s=once_s, between_tokens_s=once_s, total_s=total_s),
        )

    def _embed_decision(self, wanted: str) -> Decision:
        models = self.settings.embeddings.models
        routes = ServiceRoutes(targets=dict.fromkeys(Tier, models), threshold=1.0, attempts=len(models))
        return choose(wanted, Complexity(0.0, ()), routes, "embeddings", self.catalogue, today=self._today())

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock(), dt.UTC).date()

    async def _payer(self, token: RoomToken, service: Service, limits: TenantLimits) -> BillingContext:
        """Return who pays, once the tenant is known to be active and within its rate."""
        tenant = await self._active(token.tenant_id)
        limits.take(tenant, self._clock())
        return BillingContext(tenant=tenant, room=token.name.room, service=service)

    async def _active(self, tenant_id: str, ended: bool = False) -> Tenant:
        tenant = await self._directory.tenant(tenant_id)
        if not tenant.active and not ended:
            raise TenantSuspended(param="tenant_id")
        return tenant

    def _beat(self, token: RoomToken, counters: Mapping[str, float]) -> RoomHeartbeat:
        return RoomHeartbeat(
            room=token.name.room,
            tenant_id=token.tenant_id,
            job_id=token.job_id,
            beat_at_s=self._clock(),
            opened_at_s=token.opened_at_s,
            counters=dict(counters),
        )


@dataclass(frozen=True, slots=True)
class _Service:
    """One service's models, and the control that holds its share of the strong ones."""

    name: Service
    routes: ServiceRoutes
    share: ShareControl

    @classmethod
    def of(cls, name: Service, settings: ServiceSettings, rng: random.Random) -> _Service:
        routes = ServiceRoutes(
            targets=settings.models_of(),
            threshold=settings.threshold,
            attempts=settings.targets,
            plan_tiers=settings.plan_tiers,
        )
        target = ShareTarget(service=name, share=settings.complex_share, threshold=settings.threshold)
        return cls(name, routes, ShareControl(target, rng))


def _features(request: ChatRequest, turn: Message, messages: tuple[Message, ...]) -> TurnFeatures:
    """Return what is known of a turn; an answer before it has failed that says nothing, declines, or is said to."""
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    failed = request.last_answer_failed or (
        last is not None and needs_stronger(Answer(text=last.text, model="", finish="stop", usage=None)) is not None
    )
    return TurnFeatures(text=turn.text, has_image=bool(turn.images), last_answer_failed=failed)


def _order(
    payer: BillingContext, decision: Decision, messages: tuple[Message, ...], settings: ServiceSettings
) -> RoutedRequest:
    return RoutedRequest(
        payer=payer,
        decision=decision,
        messages=messages,
        max_output_tokens=settings.max_output_tokens,
        temperature=None,
        timers=AttemptTimeouts(
            attempt_s=settings.attempt_timeout_s,
            first_token_s=settings.first_token_timeout_s.of(decision.tier),
            between_tokens_s=settings.between_tokens_timeout_s,
            total_s=settings.total_timeout_s,
        ),
        hedged=settings.hedge,
    )
