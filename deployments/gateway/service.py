"""Serve the requests of a room: check, decide, run the attempts, and bill each of them."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from typing import Any

from deployments.api.access.authentication import Authentication, FailedAuthentications
from deployments.api.access.keys import Keys, KeySource
from deployments.api.access.room_permission import RoomPermission
from deployments.api.access.room_tokens import RoomToken, Tokens
from deployments.api.chat.messages import to_messages, to_options
from deployments.api.chat.schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch
from deployments.api.frame_schemas import FrameHeaders
from deployments.gateway import attempts
from deployments.gateway.embedding_service import EmbeddingService
from deployments.gateway.failover import Failover
from deployments.gateway.frame_order import FrameOrder
from deployments.gateway.frame_prompt import ReceivedFrame, frame_message
from deployments.gateway.metering import AdmittedRequest, BillingContext, Meter, check_active
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.models import (
    AnswerHandle,
    BackendDirectory,
    ClusterClient,
    GatewaySettings,
    ModelHandles,
    RoutedAnswer,
    RoutedRequest,
    served_models,
)
from deployments.gateway.rate_sharing import EVERY_S as RATES_EVERY_S
from deployments.gateway.rate_sharing import RateSharing
from deployments.gateway.readiness import Readiness
from deployments.gateway.retrieval import SearchResult
from deployments.gateway.rooms import RoomService
from deployments.gateway.routed_service import RoutedService, extra_thinking_tokens, with_extra_time
from deployments.gateway.speech_metering import SpeechMetering
from deployments.gateway.turns import turn_features
from routing.breaker import Breakers
from routing.catalogue import Catalogue
from routing.complexity import Complexity, score_frame, score_turn
from routing.errors import BadInput, Overloaded, RayroomError, UnknownModel
from routing.fairness import FairShare
from routing.models import Delta, EmbeddingResult, Service, Tier
from routing.policy import (
    AUTO,
    Decision,
    TenantStanding,
    choose,
    within_capabilities,
    within_limits,
)
from routing.ratelimit import TenantLimits
from routing.telemetry.current_request import current_request_id, note_error

SEARCHES_A_REQUEST = 4.0
"""An agent searches up to three times while a question is being spoken, and once for the final question."""


class Gateway:
    """The router's requests, without HTTP and Ray. Every method raises RayroomError; any other error is a bug."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: KeySource,
        handles: ModelHandles,
        cluster: ClusterClient,
        directory: BackendDirectory,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        rng = rng or random.Random()
        self.settings = settings
        self.catalogue = catalogue
        self.served_models = served_models(settings)
        """The models that a request may name: those of the configuration, and no other of the catalogue."""
        self._keys = keys
        self.metrics: GatewayMetrics = metrics or GatewayMetrics()
        failures = FailedAuthentications(self.metrics.authentication_failed)
        tokens = Tokens(keys, longest_s=settings.rooms.token_longest_life_s)
        self.authentication = Authentication(keys, tokens, failures)
        self._handles = handles
        self._cluster = cluster
        self._directory = directory
        self._clock = clock
        self._closed = False
        self._limits = TenantLimits()
        # Separate: a search that is made while a participant still speaks must not use up the answer's rate limit.
        self._search_limits = TenantLimits(times=SEARCHES_A_REQUEST)
        limits = {"requests": self._limits, "searches": self._search_limits}
        self._rates = RateSharing(limits, cluster.exchange_rates, clock, RATES_EVERY_S)
        self._fair = FairShare(settings.fairness)
        self._vision = RoutedService.of("vision", settings.vision, rng, settings.simple_tier_from)
        self._llm = RoutedService.of("llm", settings.llm, rng, settings.simple_tier_from)
        self._frames = FrameOrder()
        self._meter = Meter(cluster, catalogue, settings.simulated_vendors, settings.intent_grace_s, clock)
        breakers = Breakers(rng, settings.breakers)
        self._failover = Failover(
            catalogue,
            self._meter,
            settings.retries,
            breakers,
            rng,
            time.monotonic,
            self.metrics,
            settings.first_token_p99_s,
        )
        self._embeddings = EmbeddingService(
            settings, catalogue, self._failover, handles.embeddings, directory, self._slot, self._today
        )
        speech = SpeechMetering(catalogue, settings.simulated_vendors, settings.intent_grace_s)
        checks = [cluster.ready, *([handles.replicas] if handles.replicas is not None else [])]
        self._readiness = Readiness(checks, time.monotonic)
        permission = RoomPermission(keys, failures)
        self.rooms = RoomService(settings.rooms, permission, cluster, directory, self._meter, speech, clock, metrics)

    @property
    def keys(self) -> Keys:
        """The keys that are valid now."""
        return self._keys.current()

    async def admit(self, token: RoomToken, service: Service) -> AdmittedRequest:
        """Count a request before its body is read, so that a refused one counts too.

        Raises RateLimited, TenantSuspended, TenantUnknown or BackendUnavailable.
        """
        return await self._admit(token, service, self._limits)

    async def admit_search(self, token: RoomToken) -> AdmittedRequest:
        """Count a knowledge search, which has a rate limit of its own; raises as `admit` does."""
        return await self._admit(token, "embeddings", self._search_limits)

    async def frame(self, admitted: AdmittedRequest, headers: FrameHeaders, frame: ReceivedFrame) -> RoutedAnswer:
        """Describe a frame."""
        settings = self.settings.vision
        billing = replace(admitted.billing, participant=headers.participant)
        self._frames.check(billing.room, headers)
        decision = self._decide(self._vision, AUTO, score_frame(headers.features()), billing)
        routed = self._vision.request(billing, decision, (frame_message(frame, settings, headers.note()),))
        return await self._answer(self._vision, self._handles.vision, routed)

    def frame_tokens(self) -> dict[str, Any] | None:
        """Return the rule by which the first choice for frames counts the tokens of an image."""
        rule = self.catalogue.get(self.settings.vision.simple[0]).image_tokens
        return None if rule is None else rule.model_dump()

    async def chat(self, admitted: AdmittedRequest, request: ChatRequest) -> RoutedAnswer:
        """Answer a turn."""
        return await self._answer(self._llm, self._handles.llm, self._routed_chat(admitted.billing, request))

    def chat_stream(
        self, admitted: AdmittedRequest, request: ChatRequest
    ) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        """Return the stream of a turn's answer; the errors of its checks are raised before the stream begins."""
        return self._stream(self._routed_chat(admitted.billing, request))

    async def embed(self, admitted: AdmittedRequest, request: EmbeddingRequest) -> tuple[EmbeddingResult, int]:
        """Return the inputs' vectors and their cost in nano-dollars."""
        self._check_served(request.model)
        return await self._embeddings.embed(admitted, request)

    async def search(self, admitted: AdmittedRequest, request: KnowledgeSearch) -> SearchResult:
        """Return the passages of the token's tenant for a question; raises ProviderError or BackendError."""
        return await self._embeddings.search(admitted, request)

    async def ready(self) -> None:
        """Return if each shard of the cost journal takes commits and each model deployment has a replica.

        Raises CostsUnavailable or Overloaded.
        """
        await self._readiness.check()

    def check_health(self) -> None:
        """Raise RayroomError if this replica is beyond repair: without keys, or closed."""
        self._keys.current()
        if self._closed:
            raise Overloaded("This replica is closed.")

    async def aclose(self) -> None:
        self._closed = True
        await self._rates.aclose()
        await self._cluster.aclose()

    async def _answer(self, service: RoutedService, handle: AnswerHandle, routed: RoutedRequest) -> RoutedAnswer:
        with self._slot(routed.billing):
            answered = await attempts.answer(self._failover, handle, routed)
        service.count_escalation(routed, answered)
        return answered

    async def _stream(self, routed: RoutedRequest) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        with self._slot(routed.billing):
            async with aclosing(attempts.stream(self._failover, self._handles.llm, routed)) as pieces:
                try:
                    async for piece in pieces:
                        if isinstance(piece, RoutedAnswer):
                            self._llm.count_escalation(routed, piece)
                        yield piece
                except RayroomError as error:
                    # The response has begun, or may begin without it: its status does not show the error.
                    note_error(error.code)
                    raise

    def _slot(self, billing: BillingContext) -> AbstractContextManager[None]:
        return self._fair.slot(billing.tenant.tenant_id, self._clock())

    def _routed_chat(self, billing: BillingContext, request: ChatRequest) -> RoutedRequest:
        settings = self.settings.llm
        messages = to_messages(request.messages, self.settings.vision.max_image_px)
        turn = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        if not turn.text.strip() and not turn.images:
            raise BadInput("The last user message is empty.", "messages")
        options, drop_params = to_options(request), bool(request.drop_params)
        decision = self._decide(
            self._llm, request.model, score_turn(turn_features(request, options, turn, messages)), billing
        )
        output_tokens = request.output_tokens or self._default_output_tokens(decision)
        decision = within_limits(
            decision, self.catalogue, messages, output_tokens, settings.max_input_tokens, request.output_field, options
        )
        decision = within_capabilities(decision, self.catalogue, options, messages, drop_params)
        billing = replace(billing, participant=request.participant)
        routed = self._llm.request(billing, decision, messages)
        timeouts = with_extra_time(
            routed.timeouts,
            output_tokens - settings.max_output_tokens,
            extra_thinking_tokens(map(self.catalogue.get, routed.decision.targets), options),
            settings.longest_extra_s,
        )
        return replace(
            routed, max_output_tokens=output_tokens, timeouts=timeouts, options=options, drop_params=drop_params
        )

    def _default_output_tokens(self, decision: Decision) -> int:
        """Return the output limit of a request that names none: the configured one, which no target exceeds."""
        limits = (self.catalogue.get(name).max_output_tokens for name in decision.targets)
        return min(self.settings.llm.max_output_tokens, *limits)

    def _decide(self, service: RoutedService, wanted: str, complexity: Complexity, billing: BillingContext) -> Decision:
        self._check_served(wanted)
        tenant = billing.tenant
        standing = TenantStanding(plan=tenant.plan, budget_used=self._meter.budget_used(tenant, billing.room))
        decision = choose(
            wanted,
            complexity,
            service.routes,
            service.name,
            self.catalogue,
            share=service.share,
            standing=standing,
            today=self._today(),
        )
        self.metrics.decided(service.name, decision.tier, service.share.counts().share)
        return decision

    def _check_served(self, wanted: str) -> None:
        """Raise UnknownModel for a model that is not configured, or RetiredModel with its successor."""
        if wanted in (AUTO, *Tier) or wanted in self.served_models:
            return
        self.catalogue.serving(wanted, self._today())
        raise UnknownModel(
            f"The model {wanted[:80]!r} is not served here; GET /v1/models lists those that are.", "model"
        )

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock(), dt.UTC).date()

    async def _admit(self, token: RoomToken, service: Service, limits: TenantLimits) -> AdmittedRequest:
        tenant = await self._directory.tenant(token.tenant_id)
        check_active(tenant)
        rate = limits.take(tenant, self._clock())
        if rate is not None:
            self._rates.start()
        billing = BillingContext(
            tenant=tenant,
            room=token.name.room,
            service=service,
            job_id=token.job_id,
            room_opened_at_s=token.opened_at_s,
            request_id=current_request_id(),
        )
        return AdmittedRequest(billing=billing, rate=rate)
