"""The nouns that several files of the gateway share: its settings, the model handles, a routed request, its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deployments.common.settings import (
    EmbeddingsSettings,
    KnowledgeSettings,
    RoomSettings,
    ServiceSettings,
    VisionSettings,
)
from deployments.gateway.metering import BillingContext
from routing.billing.bill import BillPage, BillQuery, Key
from routing.breaker import BreakerSettings
from routing.chat import ChatOptions, Message
from routing.fairness import FairnessSettings
from routing.models import Answer, Costs, Delta, Directory, EmbeddingResult, EmbedRequest, ModelRequest, Rooms
from routing.policy import NEARLY_SPENT, Decision
from routing.ratelimit import TakenRequests
from routing.records.models import RecordStore
from routing.retry import RetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The settings of a gateway, fixed from its start."""

    vision: VisionSettings
    llm: ServiceSettings
    embeddings: EmbeddingsSettings
    rooms: RoomSettings
    simulated_vendors: frozenset[str]
    intent_grace_s: float
    breakers: BreakerSettings
    retries: RetrySettings
    fairness: FairnessSettings
    knowledge: KnowledgeSettings
    first_token_p99_s: Mapping[str, float] = field(default_factory=dict)
    """The published p99 of the time to the first token, by model."""
    simple_tier_from: float = NEARLY_SPENT
    """The share of a budget from which its tenant gets the simple tier."""
    scaled_to_zero: frozenset[str] = frozenset()
    """The services whose deployment may have no replica while no request comes."""


def served_models(settings: GatewaySettings) -> tuple[str, ...]:
    """Return the configured models of all services, each once."""
    vision, llm = settings.vision, settings.llm
    names = (*llm.simple, *llm.complex, *vision.simple, *vision.complex, *settings.embeddings.models)
    return tuple(dict.fromkeys(names))


class AnswerHandle(Protocol):
    """A model deployment that answers whole: behind its Serve handle, or the same class in this process."""

    async def answer(self, request: ModelRequest) -> Answer: ...


class StreamHandle(AnswerHandle, Protocol):
    """A model deployment that also streams."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]: ...


class EmbedHandle(Protocol):
    """A model deployment that embeds."""

    async def embed(self, request: EmbedRequest) -> EmbeddingResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHandles:
    """The model deployments, by service."""

    vision: AnswerHandle
    llm: StreamHandle
    embeddings: EmbedHandle
    replicas: Callable[[], Awaitable[None]] | None = None
    """Return if all three have a replica that answers; None where they run in this process."""


class ClusterClient(Costs, Rooms, Protocol):
    """The costs, the rooms and the request rates of the whole cluster."""

    async def ready(self) -> None:
        """Return if every shard of the cost journal answers and its disk takes commits; raises CostsUnavailable."""

    async def exchange_rates(self, replica: str, taken: Sequence[TakenRequests]) -> Sequence[TakenRequests]:
        """Pass on the requests that this replica admitted; return those that others admitted since its last call.

        Raises CostsUnavailable.
        """

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage:
        """Return a page of the bill from the key `after` on; raises CostsUnavailable."""

    async def aclose(self) -> None:
        """Deliver every entry that is still pending."""


class BackendDirectory(Directory, RecordStore, Protocol):
    """The company's backend as a router uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTimeouts:
    """The timeouts of a request: one attempt, its first token, the gap between tokens, and all attempts together."""

    attempt_s: float
    first_token_s: float
    between_tokens_s: float
    total_s: float
    first_token_least_s: float = 2.0
    """The least time for a first token, where a model's p99 is shorter and another model could follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequest:
    """A request with its routing decision: the billing context, the candidate models in order, and the messages."""

    billing: BillingContext
    decision: Decision
    messages: tuple[Message, ...] = field(repr=False)
    max_output_tokens: int
    timeouts: AttemptTimeouts
    options: ChatOptions = field(default_factory=ChatOptions)
    dimensions: int | None = None
    """The size of an embedding's vectors; None for the model's own."""
    drop_params: bool = False
    """Whether a model that does not accept one of the options answers without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedAnswer:
    """An answer, the decision that led to it, and the cost of all attempts together."""

    answer: Answer
    decision: Decision
    cost_nanousd: int
    attempts: int
    vendor_s: float
    """Seconds spent waiting for vendors; of a streamed answer, until its first delta."""
