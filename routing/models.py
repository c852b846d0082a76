"""Everything that crosses a process: frames, turns, answers, usage, costs. Knows no transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, Protocol

Service = Literal["vision", "llm", "embeddings", "stt", "tts"]


class Tier(StrEnum):
    """Which class of model answers."""

    SIMPLE = "simple"
    COMPLEX = "complex"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who pays, as the backend says."""

    tenant_id: str
    name: str
    plan: str
    active: bool
    budget_nanousd: int | None
    requests_per_minute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a tenant's knowledge base: untrusted text, with its source."""

    passage_id: str
    source: str
    text: str
    score: float | None
    """How well it answers, as its knowledge base counts; None where it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFeatures:
    """What the agent already computed of a frame, each in 0..1."""

    text_density: float = 0.0
    edge_energy: float = 0.0
    changed_share: float = 0.0
    novelty: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation; images are whole JPEGs."""

    role: Literal["system", "user", "assistant"]
    text: str = field(repr=False)
    images: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Billable units of one attempt; `input_tokens` holds every input token, cached ones and image ones too."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    image_tokens: int = 0
    image_px: int = 0
    audio_ms: int = 0
    characters: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def nonzero(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One attempt at one model. `model` is the catalogue's name; `timeout_s` covers the whole attempt.

    The other two timers are of a stream: until its first text, and from each piece to the next.
    """

    model: str
    messages: tuple[Message, ...] = field(default=(), repr=False)
    max_output_tokens: int = 300
    temperature: float | None = None
    timeout_s: float = 30.0
    first_token_timeout_s: float | None = None
    between_tokens_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One attempt at an embedding model: each input is text, a JPEG, or both."""

    model: str
    inputs: tuple[Message, ...] = field(repr=False)
    timeout_s: float = 10.0


Finish = Literal["stop", "length", "refusal", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. `usage` is None where the vendor did not tell; that is not zero."""

    text: str = field(repr=False)
    model: str
    finish: Finish
    usage: Usage | None
    simulated: bool = False
    vendor_s: float = 0.0
    """How long the vendor was waited for; 0 where nobody measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed answer; the last one carries `finish`, and `usage` where the vendor told."""

    text: str = field(default="", repr=False)
    model: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    vendor_s: float = 0.0
    """Of the first piece: how long the vendor was waited for until it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResult:
    """One vector for each input, in order."""

    vectors: tuple[tuple[float, ...], ...] = field(repr=False)
    model: str
    usage: Usage | None
    simulated: bool = False


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is about to be asked of a vendor, durable before it is asked. `event_id` is the same on every resend."""

    event_id: str
    tenant_id: str
    room: str
    service: Service
    vendor: str
    model: str
    price_version: str
    estimate_nanousd: int
    budget_nanousd: int | None
    simulated: bool
    opened_at_s: float
    expires_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What an intent came to. `estimated` says that the vendor did not tell its usage."""

    event_id: str
    outcome: Outcome
    cost_nanousd: int
    estimated: bool
    usage: Usage
    settled_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushRow:
    """A sealed total of one (tenant, service, model) over a window, as the backend gets it."""

    flush_id: str
    tenant_id: str
    service: str
    model: str
    seq: int
    window_start_s: float
    window_end_s: float
    requests: int
    usage: dict[str, int]
    cost_nanousd: int
    cumulative_nanousd: int
    price_version: str
    simulated: bool
    estimated_requests: int
    journal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomHeartbeat:
    """What an agent last said of its room: counters since the job began, and times of the last answers."""

    room: str
    tenant_id: str
    job_id: str
    beat_at_s: float
    opened_at_s: float
    counters: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTotals:
    """What a tenant owes so far; `sent_nanousd` is the part the backend has acknowledged."""

    tenant_id: str
    settled_nanousd: int
    reserved_nanousd: int
    sent_nanousd: int
    requests: int
    estimated_requests: int
    by_model: tuple[dict[str, Any], ...]


class Costs(Protocol):
    """Where an attempt's price is written before its answer leaves."""

    async def reserve(self, intent: Intent) -> int:
        """Return, once the intent is durable, the nano-dollars its tenant has spent or set aside this month.

        Raises BudgetExceeded or CostsUnavailable.
        """

    async def settle(self, settlement: Settlement) -> None:
        """Return once the settlement is durable; raises CostsUnavailable."""

    async def record(self, entries: Sequence[Intent | Settlement]) -> int:
        """Write what one tenant has spent already, each intent before its settlement; returns as `reserve` does.

        Raises CostsUnavailable, and may still write them later: to record them again is harmless.
        """

    async def totals(self, tenant_id: str) -> TenantTotals: ...


class Rooms(Protocol):
    """Who is in which room, as the agents say."""

    async def beat(self, beat: RoomHeartbeat) -> int | None:
        """Return the nano-dollars the room's tenant has spent this month, without what is only set aside.

        None where that is not known; raises CostsUnavailable.
        """

    async def close(self, room: str, job_id: str) -> None: ...

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]: ...


class Directory(Protocol):
    """Who a tenant is and what it knows."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Raises TenantUnknown or BackendUnavailable."""

    async def search(
        self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int
    ) -> tuple[Passage, ...]: ...
