"""The usage and the cost of an attempt, from its reservation to the window that is sent to the backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, Protocol

Service = Literal["vision", "llm", "embeddings", "stt", "tts", "tools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Billable units of one attempt; `input_tokens` holds every input token, cached ones and image ones too."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """Those of `cache_write_tokens` that the vendor keeps for an hour."""
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


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The reservation of one attempt, durable before the vendor is called. `event_id` is the idempotency key."""

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
    """The sender's time, for information: costs are booked and expire by the aggregator's clock alone."""
    lifetime_s: float
    """Seconds from its arrival at the aggregator after which an intent without a settlement expires."""
    job_id: str | None = None
    """The job whose token made the request, so that a closed room causes no more costs; None for costs already made."""
    room_opened_at_s: float = 0.0
    """When that job opened the room."""
    request_id: str = ""
    """The request that the attempt belongs to, as the response's header names it."""
    participant: str = ""
    """The identity of the participant whose request it was; empty where it was nobody's."""
    daily_budget_nanousd: int | None = None
    room_budget_nanousd: int | None = None
    time_zone: str = ""
    """The tenant's, by which its days and months begin."""
    budget_alerts: tuple[float, ...] | None = None
    """The tenant's own; None for those of the configuration."""
    witnessed: bool = False
    """A model replica writes a CallRecord of this attempt, so that one without any record never left the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The actual cost of an intent. `estimated` means that the vendor reported no usage."""

    event_id: str
    outcome: Outcome
    cost_nanousd: int
    estimated: bool
    tenant_id: str = ""
    """The intent's tenant, whose shard of the journal has the intent."""
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A model replica's own record of one vendor call: the second witness beside the router's settlement.

    The replica writes it twice: not `ended` just before the request leaves for the vendor, with the usage of the
    expected answer, and `ended` after the call with the usage that it knows of. An attempt that ended without leaving
    costs 0 and is no estimate; one without any record never left the cluster.
    """

    event_id: str
    ended: bool
    cost_nanousd: int = 0
    """Before the end: the cost of the expected answer, for the case that no end follows; 0 where it is unknown."""
    estimated: bool = True
    """False only where the usage is the vendor's own final report, or where no request left."""
    usage: Usage = Usage()
    tenant_id: str = ""
    """As in Settlement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushRow:
    """A sealed total of one (tenant, service, model) over a window, as it is sent to the backend."""

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
    epoch: str = ""
    """The opening of the journal that closed the window; empty for windows from before epochs existed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTotals:
    """The total cost of a tenant so far; `sent_nanousd` is the part that the backend acknowledged."""

    tenant_id: str
    settled_nanousd: int
    reserved_nanousd: int
    sent_nanousd: int
    requests: int
    estimated_requests: int
    by_model: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The costs of a tenant in its current month and day, and those of one of its rooms in that day."""

    month_nanousd: int = 0
    day_nanousd: int = 0
    room_nanousd: int = 0


class Costs(Protocol):
    """The durable store of costs: an attempt's cost is written before its answer leaves."""

    async def reserve(self, intent: Intent) -> Spending:
        """Return the tenant's spent and reserved nano-dollars, once the intent is durable.

        Raises BudgetExceeded, RoomClosed or CostsUnavailable.
        """

    async def settle(self, settlement: Settlement) -> None:
        """Return once the settlement is durable; raises CostsUnavailable."""

    async def record(self, entries: Sequence[Intent | Settlement]) -> Spending:
        """Write entries of one tenant for costs already incurred, each intent before its settlement.

        Returns as `reserve` does. Raises CostsUnavailable, and the entries may still be written later: to record them
        again is harmless.
        """

    async def totals(self, tenant_id: str) -> TenantTotals: ...


class CallRecords(Protocol):
    """The sink of a model replica's call records."""

    def start(self) -> None:
        """Connect in the background, on the replica's event loop, before the first call."""

    def add(self, record: CallRecord) -> None:
        """Queue a record for delivery without waiting; it is sent at the next turn of the event loop."""

    async def aclose(self) -> None:
        """Let the queued records leave, and end the connection."""
