"""Serve the requests of a room: check, decide, run the attempts, and bill each of them."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog
from cachetools import FIFOCache

from deployments.api.auth import Keys, RoomToken, Tokens
from deployments.api.jpeg import inspect_jpeg
from deployments.api.schemas import (
    ChatRequest,
    EmbeddingRequest,
    FrameHeaders,
    KnowledgeSearch,
    to_inputs,
    to_messages,
)
from deployments.common.settings import ServiceSettings
from deployments.gateway import attempts
from deployments.gateway.failover import Failover
from deployments.gateway.metering import BillingContext, Meter, check_active
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.models import (
    AnswerHandle,
    AttemptTimeouts,
    ClusterClient,
    GatewaySettings,
    ModelHandles,
    RoutedAnswer,
    RoutedRequest,
)
from deployments.gateway.retrieval import SearchResult, cut, find, to_question
from deployments.gateway.rooms import RoomService
from deployments.gateway.speech_metering import SpeechMetering
from routing.breaker import Breakers
from routing.catalogue import Catalogue
from routing.complexity import Complexity, TurnFeatures, score_frame, score_turn
from routing.errors import BadInput
from routing.evidence import needs_stronger
from routing.fairness import FairShare
from routing.models import Answer, Delta, Directory, EmbeddingResult, Message, Service, Tenant, Tier
from routing.policy import AUTO, Decision, ServiceRoutes, TenantStanding, choose, fitting, seeing, seen
from routing.ratelimit import TenantLimits
from routing.retry import Deadline
from routing.share import ShareControl, ShareTarget

SEARCHES_A_REQUEST = 4.0
"""An agent searches up to three times while a question is being spoken, and once for the final question."""
MOST_TRACKS = 4_096

log = structlog.get_logger()


class Gateway:
    """The router's requests, without HTTP and Ray. Every method raises RayroomError; any other error is a bug."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: Keys,
        handles: ModelHandles,
        cluster: ClusterClient,
        directory: Directory,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        rng = rng or random.Random()
        self.settings = settings
        self.catalogue = catalogue
        self.keys = keys
        self.tokens = Tokens(keys)
        self._handles = handles
        self._cluster = cluster
        self._directory = directory
        self._clock = clock
        self._limits = TenantLimits()
        # Separate: a search that is made while a participant still speaks must not use up the answer's rate limit.
        self._search_limits = TenantLimits(times=SEARCHES_A_REQUEST)
        self._fair = FairShare(settings.fairness)
        self._vision = _RoutedService.of("vision", settings.vision, rng)
        self._llm = _RoutedService.of("llm", settings.llm, rng)
        self._frames = FrameOrder()
        self._meter = Meter(cluster, catalogue, settings.simulated_vendors, settings.intent_grace_s, clock)
        breakers = Breakers(rng, settings.breakers)
        self._failover = Failover(catalogue, self._meter, settings.retries, breakers, rng, time.monotonic, metrics)
        speech = SpeechMetering(catalogue, settings.simulated_vendors, settings.intent_grace_s)
        self.rooms = RoomService(settings.rooms, cluster, directory, self._meter, speech, clock)

    async def frame(self, token: RoomToken, headers: FrameHeaders, jpeg: bytes) -> RoutedAnswer:
        """Describe a frame."""
        settings = self.settings.vision
        inspect_jpeg(jpeg, settings.max_image_px)
        billing = await self._bill_to(token, "vision", self._limits)
        self._frames.check(token.name.room, headers)
        decision = self._decide(self._vision, AUTO, score_frame(headers.features()), billing.tenant)
        messages = (Message(role="user", text=settings.prompt, images=(jpeg,)),)
        routed = self._vision.request(billing, decision, messages)
        return await self._answer(self._vision, self._handles.vision, routed)

    async def chat(self, token: RoomToken, request: ChatRequest) -> RoutedAnswer:
        """Answer a turn."""
        return await self._answer(self._llm, self._handles.llm, await self._routed_chat(token, request))

    async def chat_stream(self, token: RoomToken, request: ChatRequest) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        """Return the stream of a turn's answer; the errors of its checks are raised before the stream begins."""
        return self._stream(await self._routed_chat(token, request))

    async def embed(self, token: RoomToken, request: EmbeddingRequest) -> tuple[EmbeddingResult, int]:
        """Return the inputs' vectors and their cost in nano-dollars."""
        inputs = to_inputs(request, self.settings.vision.max_image_px)
        total_s = self.settings.embeddings.total_timeout_s
        routed = await self._routed_inputs(token, request.model, inputs, total_s, self._limits)
        with self._fair.slot(token.tenant_id, self._clock()):
            return await attempts.embed(self._failover, self._handles.embeddings, routed)

    async def search(self, token: RoomToken, request: KnowledgeSearch) -> SearchResult:
        """Return the passages of the token's tenant for a question; raises ProviderError or BackendError."""
        settings = self.settings.knowledge
        deadline = Deadline.after(settings.timeout_s, time.monotonic())
        question = to_question(request, self.settings.vision.max_image_px)
        question = seen(self._embed_decision(AUTO), self.catalogue, question, self._today())
        routed = await self._routed_inputs(token, AUTO, (question,), settings.timeout_s, self._search_limits)
        with self._fair.slot(token.tenant_id, self._clock()):
            embeddings, cost_nanousd = await attempts.embed(self._failover, self._handles.embeddings, routed)
            left_s = deadline.remaining_s(time.monotonic())
            passages = await find(self._directory, token.tenant_id, request, embeddings, left_s)
        return SearchResult(
            passages=cut(passages, request.top_k, settings),
            model=embeddings.model,
            cost_nanousd=cost_nanousd,
            simulated=embeddings.simulated,
        )

    async def ready(self) -> None:
        """Return once the cost journal answers and each model deployment has a replica.

        Raises CostsUnavailable or Overloaded.
        """
        await self._cluster.totals("-")
        if self._handles.started is not None:
            await self._handles.started()

    async def aclose(self) -> None:
        await self._cluster.aclose()

    async def _answer(self, service: _RoutedService, handle: AnswerHandle, routed: RoutedRequest) -> RoutedAnswer:
        with self._fair.slot(routed.billing.tenant.tenant_id, self._clock()):
            answered = await attempts.answer(self._failover, handle, routed)
        if answered.decision.tier is not routed.decision.tier:
            service.share.ruled("escalated", answered.decision.tier)
        return answered

    async def _stream(self, routed: RoutedRequest) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        with self._fair.slot(routed.billing.tenant.tenant_id, self._clock()):
            async with aclosing(attempts.stream(self._failover, self._handles.llm, routed)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _routed_chat(self, token: RoomToken, request: ChatRequest) -> RoutedRequest:
        settings = self.settings.llm
        messages = to_messages(request.messages, self.settings.vision.max_image_px)
        turn = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        if not turn.text.strip() and not turn.images:
            raise BadInput("The last user message is empty.", "messages")
        output_tokens = request.output_tokens(settings.max_output_tokens)
        billing = await self._bill_to(token, "llm", self._limits)
        decision = self._decide(
            self._llm, request.model, score_turn(_features(request, turn, messages)), billing.tenant
        )
        decision = fitting(
            decision, self.catalogue, messages, output_tokens, settings.max_input_tokens, request.output_field
        )
        routed = self._llm.request(billing, decision, messages)
        return replace(routed, max_output_tokens=output_tokens, temperature=request.temperature)

    def _decide(self, service: _RoutedService, wanted: str, complexity: Complexity, tenant: Tenant) -> Decision:
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

    async def _routed_inputs(
        self, token: RoomToken, wanted: str, inputs: tuple[Message, ...], total_s: float, limits: TenantLimits
    ) -> RoutedRequest:
        once_s = min(self.settings.embeddings.attempt_timeout_s, total_s)
        decision = seeing(self._embed_decision(wanted), self.catalogue, inputs, self._today())
        return RoutedRequest(
            billing=await self._bill_to(token, "embeddings", limits),
            decision=decision,
            messages=inputs,
            max_output_tokens=0,
            temperature=None,
            timeouts=AttemptTimeouts(attempt_s=once_s, first_token_s=once_s, between_tokens_s=once_s, total_s=total_s),
        )

    def _embed_decision(self, wanted: str) -> Decision:
        models = self.settings.embeddings.models
        routes = ServiceRoutes(targets=dict.fromkeys(Tier, models), threshold=1.0, attempts=len(models))
        return choose(wanted, Complexity(0.0, ()), routes, "embeddings", self.catalogue, today=self._today())

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock(), dt.UTC).date()

    async def _bill_to(self, token: RoomToken, service: Service, limits: TenantLimits) -> BillingContext:
        """Return the billing context of an active tenant within its rate limit."""
        tenant = await self._directory.tenant(token.tenant_id)
        check_active(tenant)
        limits.take(tenant, self._clock())
        return BillingContext(tenant=tenant, room=token.name.room, service=service)


class FrameOrder:
    """The newest capture time of each track, as one replica has seen it; bounded.

    A late frame is logged and still described: another replica may have served the newer one, and its agent waits for
    each description.
    """

    def __init__(self) -> None:
        self._newest_s: FIFOCache[tuple[str, str], float] = FIFOCache(MOST_TRACKS)

    def check(self, room: str, headers: FrameHeaders) -> None:
        """Log a frame that is older than one received before it."""
        if headers.captured_at is None or headers.track is None:
            return
        key = (room, headers.track)
        newest_s = self._newest_s.get(key, headers.captured_at)
        self._newest_s[key] = max(newest_s, headers.captured_at)
        if headers.captured_at < newest_s:
            behind_s = round(newest_s - headers.captured_at, 3)
            log.info("frame received late", room=room, track=headers.track, behind_s=behind_s)


@dataclass(frozen=True, slots=True)
class _RoutedService:
    """One service's routes, the control of its share of strong models, and the timeouts of each tier."""

    name: Service
    routes: ServiceRoutes
    share: ShareControl
    timeouts: dict[Tier, AttemptTimeouts]
    max_output_tokens: int

    @classmethod
    def of(cls, name: Service, settings: ServiceSettings, rng: random.Random) -> _RoutedService:
        routes = ServiceRoutes(
            targets=settings.models_of(),
            threshold=settings.threshold,
            attempts=settings.targets,
            plan_tiers=settings.plan_tiers,
        )
        timeouts = {
            tier: AttemptTimeouts(
                attempt_s=settings.attempt_timeout_s,
                first_token_s=settings.first_token_timeout_s.of(tier),
                between_tokens_s=settings.between_tokens_timeout_s,
                total_s=settings.total_timeout_s,
            )
            for tier in Tier
        }
        target = ShareTarget(service=name, share=settings.complex_share, threshold=settings.threshold)
        return cls(name, routes, ShareControl(target, rng), timeouts, settings.max_output_tokens)

    def request(self, billing: BillingContext, decision: Decision, messages: tuple[Message, ...]) -> RoutedRequest:
        """Return a request with the service's defaults."""
        return RoutedRequest(
            billing=billing,
            decision=decision,
            messages=messages,
            max_output_tokens=self.max_output_tokens,
            temperature=None,
            timeouts=self.timeouts[decision.tier],
        )


def _features(request: ChatRequest, turn: Message, messages: tuple[Message, ...]) -> TurnFeatures:
    """Return a turn's features; the answer before it failed if it is empty, declines, or the caller marked it so."""
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    failed = request.last_answer_failed or (
        last is not None and needs_stronger(Answer(text=last.text, model="", finish="stop", usage=None)) is not None
    )
    return TurnFeatures(text=turn.text, has_image=bool(turn.images), last_answer_failed=failed)
