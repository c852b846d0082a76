"""Answers each kind of request: checks who asks, decides, has it answered and billed. Knows neither HTTP nor Ray."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from deployments.attempts import Answered, AnswerLeaf, Attempts, EmbedLeaf, Order, StreamLeaf
from deployments.auth import Keys, RoomToken, issue_token
from deployments.bill import Meter, Payer
from deployments.jpeg import inspect_jpeg
from deployments.settings import EmbeddingsSettings, RoomSettings, ServiceSettings, VisionSettings
from deployments.wire import ChatRequest, EmbeddingRequest, FrameHeaders, Heartbeat, OpenRoom, to_inputs, to_messages
from routing.catalogue import Catalogue
from routing.complexity import Complexity, score_frame, score_text
from routing.errors import BadInput, TenantSuspended
from routing.messages import (
    Costs,
    Delta,
    Directory,
    Embeddings,
    Message,
    RoomBeat,
    Rooms,
    Service,
    Tenant,
    TenantTotals,
    Tier,
)
from routing.policy import Decision, ServiceRoutes, choose
from routing.ratelimit import TenantLimits
from routing.rooms import check_metadata, parse_room

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


class World(Costs, Rooms, Protocol):
    """The costs and the rooms of the whole cluster."""

    async def aclose(self) -> None:
        """Deliver what is still to be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """The deployments that ask the vendors."""

    vision: AnswerLeaf
    llm: StreamLeaf
    embeddings: EmbedLeaf


class Gateway:
    """The router without its shell. Every method raises RayroomError and nothing else that is not a bug."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        keys: Keys,
        leaves: Leaves,
        world: World,
        directory: Directory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.keys = keys
        self._leaves = leaves
        self._world = world
        self._directory = directory
        self._clock = clock
        self._limits = TenantLimits()
        meter = Meter(world, catalogue, settings.simulated_vendors, settings.intent_grace_s, clock)
        self._attempts = Attempts(catalogue, meter, time.monotonic)

    async def open_room(self, request: OpenRoom) -> tuple[RoomToken, Tenant]:
        """Return a token for the room's tenant; raises for a bad name, another tenant's metadata, or no such tenant."""
        name = parse_room(request.room)
        check_metadata(name, request.metadata)
        tenant = await self._active(name.tenant_id)
        token = issue_token(name, request.job_id, self.settings.rooms.token_ttl_s, self._clock())
        await self._world.beat(self._beat(token, {}))
        log.info("room opened", room=name.room, job=request.job_id)
        return token, tenant

    async def heartbeat(self, token: RoomToken, beat: Heartbeat) -> RoomToken:
        """Remember an agent's counters; returns its token, a fresh one when half of its time is over."""
        await self._active(token.tenant_id)
        await self._world.beat(self._beat(token, beat.counters))
        ttl_s = self.settings.rooms.token_ttl_s
        if token.expires_at_s - self._clock() > ttl_s / 2:
            return token
        return issue_token(token.name, token.job_id, ttl_s, self._clock(), token.opened_at_s)

    async def close_room(self, token: RoomToken) -> TenantTotals:
        await self._world.close(token.name.room, token.job_id)
        log.info("room closed", room=token.name.room, job=token.job_id)
        return await self._world.totals(token.tenant_id)

    async def frame(self, token: RoomToken, headers: FrameHeaders, jpeg: bytes) -> tuple[Answered, Decision]:
        """Describe a frame."""
        settings = self.settings.vision
        inspect_jpeg(jpeg, settings.max_image_px)
        payer = await self._payer(token, "vision")
        decision = choose("auto", score_frame(headers.features()), _routes(settings), "vision", self.catalogue)
        messages = (Message(role="user", text=settings.prompt, images=(jpeg,)),)
        return await self._attempts.answer(self._leaves.vision, _order(payer, decision, messages, settings)), decision

    async def chat(self, token: RoomToken, request: ChatRequest) -> tuple[Answered, Decision]:
        order = await self._chat_order(token, request)
        return await self._attempts.answer(self._leaves.llm, order), order.decision

    async def chat_stream(
        self, token: RoomToken, request: ChatRequest
    ) -> tuple[AsyncGenerator[Delta | Answered, None], Decision]:
        order = await self._chat_order(token, request)
        return self._attempts.stream(self._leaves.llm, order), order.decision

    async def embed(self, token: RoomToken, request: EmbeddingRequest) -> tuple[Embeddings, int]:
        """Return the inputs' vectors, and what they cost."""
        settings = self.settings.embeddings
        inputs = to_inputs(request, self.settings.vision.max_image_px)
        decision = self._embed_decision(request.model)
        order = Order(
            payer=await self._payer(token, "embeddings"),
            decision=decision,
            messages=inputs,
            max_output_tokens=0,
            temperature=None,
            attempt_timeout_s=settings.attempt_timeout_s,
            first_token_timeout_s=settings.attempt_timeout_s,
            total_timeout_s=settings.total_timeout_s,
        )
        return await self._attempts.embed(self._leaves.embeddings, order)

    async def usage(self, tenant_id: str) -> tuple[TenantTotals, tuple[RoomBeat, ...]]:
        """Return what a tenant owes so far and the rooms it has open; raises TenantUnknown."""
        await self._directory.tenant(tenant_id)
        return await self._world.totals(tenant_id), await self._world.of(tenant_id)

    async def ready(self) -> None:
        """Return when the cost journal answers; raises CostsUnavailable."""
        await self._world.totals("-")

    async def aclose(self) -> None:
        await self._world.aclose()

    async def _chat_order(self, token: RoomToken, request: ChatRequest) -> Order:
        settings = self.settings.llm
        messages = to_messages(request.messages, self.settings.vision.max_image_px)
        turn = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        if not turn.text.strip() and not turn.images:
            raise BadInput("The last user message is empty.", "messages")
        complexity = score_text(turn.text, has_image=bool(turn.images))
        decision = choose(request.model, complexity, _routes(settings), "llm", self.catalogue)
        order = _order(await self._payer(token, "llm"), decision, messages, settings)
        return replace(
            order,
            max_output_tokens=request.output_tokens(settings.max_output_tokens),
            temperature=request.temperature,
        )

    def _embed_decision(self, wanted: str) -> Decision:
        models = self.settings.embeddings.models
        routes = ServiceRoutes(targets=dict.fromkeys(Tier, models), threshold=1.0, attempts=len(models))
        return choose(wanted, Complexity(0.0, ()), routes, "embeddings", self.catalogue)

    async def _payer(self, token: RoomToken, service: Service) -> Payer:
        """Return who pays, once the tenant is known to be active and within its rate."""
        tenant = await self._active(token.tenant_id)
        self._limits.take(tenant, self._clock())
        return Payer(tenant=tenant, room=token.name.room, service=service)

    async def _active(self, tenant_id: str) -> Tenant:
        tenant = await self._directory.tenant(tenant_id)
        if not tenant.active:
            raise TenantSuspended(param="tenant_id")
        return tenant

    def _beat(self, token: RoomToken, counters: Mapping[str, float]) -> RoomBeat:
        return RoomBeat(
            room=token.name.room,
            tenant_id=token.tenant_id,
            job_id=token.job_id,
            beat_at_s=self._clock(),
            opened_at_s=token.opened_at_s,
            counters=dict(counters),
        )


def _routes(settings: ServiceSettings) -> ServiceRoutes:
    return ServiceRoutes(targets=settings.targets(), threshold=settings.threshold, attempts=settings.attempts)


def _order(payer: Payer, decision: Decision, messages: tuple[Message, ...], settings: ServiceSettings) -> Order:
    return Order(
        payer=payer,
        decision=decision,
        messages=messages,
        max_output_tokens=settings.max_output_tokens,
        temperature=None,
        attempt_timeout_s=settings.attempt_timeout_s,
        first_token_timeout_s=settings.first_token_timeout_s,
        total_timeout_s=settings.total_timeout_s,
    )
