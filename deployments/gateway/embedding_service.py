"""Serve embeddings, and the search of a tenant's knowledge by them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from deployments.api.body import participant_of
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch, to_inputs
from deployments.gateway import attempts
from deployments.gateway.embedding_batches import embed_in_batches
from deployments.gateway.failover import Failover
from deployments.gateway.metering import AdmittedRequest, BillingContext
from deployments.gateway.models import AttemptTimeouts, EmbedHandle, GatewaySettings, RoutedRequest
from deployments.gateway.retrieval import SearchResult, cut, find, to_question
from routing.catalogue import Catalogue
from routing.chat import Message
from routing.complexity import Complexity
from routing.models import Directory, EmbeddingResult, Tier
from routing.policy import (
    AUTO,
    Decision,
    ServiceRoutes,
    choose,
    with_dimensions,
    with_image_models,
    with_token_models,
    without_images,
)
from routing.retry import Deadline


class EmbeddingService:
    """The requests for vectors of one router. `slot` takes a place in the tenant's fair share."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        failover: Failover,
        handle: EmbedHandle,
        directory: Directory,
        slot: Callable[[BillingContext], AbstractContextManager[None]],
        today: Callable[[], dt.date],
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._failover = failover
        self._handle = handle
        self._directory = directory
        self._slot = slot
        self._today = today

    async def embed(self, admitted: AdmittedRequest, request: EmbeddingRequest) -> tuple[EmbeddingResult, int]:
        """Return the inputs' vectors and their cost in nano-dollars; `request.model` is one that is served."""
        inputs = to_inputs(request, self._settings.vision.max_image_px)
        total_s = self._settings.embeddings.total_timeout_s
        billing = replace(admitted.billing, participant=participant_of(request.user))
        routed = self._routed(billing, request.model, inputs, total_s)
        decision = with_token_models(routed.decision, self._catalogue, inputs)
        decision, dimensions = with_dimensions(
            decision, self._catalogue, request.dimensions, drop_params=bool(request.drop_params)
        )
        routed = replace(routed, decision=decision, dimensions=dimensions)
        with self._slot(admitted.billing):
            return await embed_in_batches(self._failover, self._handle, routed)

    async def search(self, admitted: AdmittedRequest, request: KnowledgeSearch) -> SearchResult:
        """Return the passages of the token's tenant for a question; raises ProviderError or BackendError."""
        settings = self._settings.knowledge
        billing = replace(admitted.billing, participant=participant_of(request.user))
        deadline = Deadline.after(settings.timeout_s, time.monotonic())
        question = to_question(request, self._settings.vision.max_image_px)
        question = without_images(self._decide(AUTO), self._catalogue, question, self._today())
        routed = self._routed(billing, AUTO, (question,), settings.timeout_s)
        with self._slot(billing):
            embeddings, cost_nanousd = await attempts.embed(self._failover, self._handle, routed)
            left_s = deadline.remaining_s(time.monotonic())
            passages = await find(self._directory, billing.tenant.tenant_id, request, embeddings, left_s)
        return SearchResult(
            passages=cut(passages, request.top_k, settings),
            model=embeddings.model,
            cost_nanousd=cost_nanousd,
            simulated=embeddings.simulated,
        )

    def _routed(
        self, billing: BillingContext, wanted: str, inputs: tuple[Message, ...], total_s: float
    ) -> RoutedRequest:
        once_s = min(self._settings.embeddings.attempt_timeout_s, total_s)
        return RoutedRequest(
            billing=billing,
            decision=with_image_models(self._decide(wanted), self._catalogue, inputs, self._today()),
            messages=inputs,
            max_output_tokens=0,
            timeouts=AttemptTimeouts(attempt_s=once_s, first_token_s=once_s, between_tokens_s=once_s, total_s=total_s),
        )

    def _decide(self, wanted: str) -> Decision:
        models = self._settings.embeddings.models
        routes = ServiceRoutes(targets=dict.fromkeys(Tier, models), threshold=1.0, attempts=len(models))
        return choose(wanted, Complexity(0.0, ()), routes, "embeddings", self._catalogue, today=self._today())
