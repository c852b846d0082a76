"""The types that cross processes: frame features, model requests, answers, usage, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from routing.chat import ChatOptions, Effort, Message, ToolCall, ToolCallDelta
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool
from routing.tools.record import TenantTools

Service = Literal["vision", "llm", "embeddings", "stt", "tts", "tools"]
RefusedSource = Literal["record", "metadata"]
"""Where a refused field stands: in the tenant's record, or in the signed metadata of a room."""


class Tier(StrEnum):
    """The class of model that answers."""

    SIMPLE = "simple"
    COMPLEX = "complex"


MAX_INSTRUCTIONS_CHARS = 4_000
"""A fifth to a quarter of a prompt, which every answer of the tenant pays for."""
MAX_NAMES, MAX_NAME_CHARS = 5, 40
MAX_GREETING_CHARS = 300
MAX_RETENTION_DAYS = 36_500


def _one_line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line of printable text")
    return text.strip()


def _text(text: str) -> str:
    """Return a text of several lines without control characters, which some models read as ends of a message."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t").strip()


Name = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_one_line)]
VOICE_LANGUAGES = frozenset(
    "en ja zh de hi fr ko pt it es id nl tr fil pl sv bg ro ar cs el fi hr ms sk da ta uk ru hu no vi".split()
)
"""The languages of ElevenLabs' models flash and turbo v2.5: their models page, read 2026-11-30."""


def _spoken(voices: dict[str, str]) -> dict[str, str]:
    if voices.keys() - VOICE_LANGUAGES:
        raise ValueError("no voice speaks one of the languages; the keys are codes such as de")
    return voices


VoiceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]


class TenantAgent(BaseModel):
    """One tenant's agent. Fields that are left out are as the worker's environment sets them.

    JSON has the names in camel case: in the tenant's record as `agent`, and in a room's signed metadata for it alone.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)

    names: Annotated[tuple[Name, ...], Field(max_length=MAX_NAMES, strict=False)] = ()
    """The names by which people call it; the first is displayed."""
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS_CHARS), AfterValidator(_text)] = Field(
        default="", repr=False
    )
    """Its role, manner and subjects: below our own rules, and above all that people say."""
    greeting: Annotated[str, Field(max_length=MAX_GREETING_CHARS), AfterValidator(_text)] = ""
    """Said when the first person is there; nothing if empty."""
    language: Annotated[str, Field(pattern=r"^(multi|[a-z]{2,3}(-[A-Za-z0-9]{2,8})?)?$")] = ""
    """Deepgram's code of the language that is spoken, or `multi`."""
    voice_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{0,64}$")] = ""
    """ElevenLabs' id of the voice."""
    voices: Annotated[dict[str, VoiceId], Field(max_length=len(VOICE_LANGUAGES)), AfterValidator(_spoken)] = Field(
        default_factory=dict
    )
    """Those for single languages, by the code of the language; `voice_id` is for all others."""
    tier: Literal["auto", "simple", "complex"] = "auto"
    """The models that answer."""
    knowledge: Literal["before", "tool"] = "before"
    """Whether the knowledge base is searched before each answer, or as a tool where the model wants it."""
    watches_screens: bool = True
    watches_cameras: bool = True
    speaks_unasked: bool = True
    """Whether greetings and notices are spoken; otherwise they are only written."""
    record: Literal["none", "report"] = "none"
    """Whether the meeting's transcript, descriptions, answers and costs are sent to the backend at its end."""
    retention_days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)] | None = None
    """How long the backend is to keep the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedField:
    """A field that is not valid, and the reason, which does not quote its value."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant as the backend describes it: the party that pays."""

    tenant_id: str
    name: str
    plan: str
    active: bool
    budget_nanousd: int | None
    """The most that it may spend in a month."""
    requests_per_minute: int | None
    daily_budget_nanousd: int | None = None
    room_budget_nanousd: int | None = None
    """The most that each of its rooms may spend in a day."""
    time_zone: str = ""
    """The IANA name of the zone in which its days and months begin; UTC if empty."""
    budget_alerts: tuple[float, ...] | None = None
    """The shares of a daily or monthly budget that raise an alert; None for those of the configuration."""
    agent: TenantAgent = field(default_factory=TenantAgent)
    """The agent of its rooms, as far as it differs from the worker's."""
    tools: TenantTools = field(default_factory=TenantTools)
    """The tools that this agent may call."""
    refused: tuple[RefusedField, ...] = ()
    """The fields of its record that are wrong, and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a tenant's knowledge base: untrusted text, with its source."""

    passage_id: str
    source: str
    text: str
    score: float | None
    """The knowledge base's own score of the match; None if it returns none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFeatures:
    """The measurements of a frame that the agent computed, each in 0..1."""

    text_density: float = 0.0
    edge_energy: float = 0.0
    changed_share: float = 0.0
    novelty: float = 0.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One attempt at one model. `model` is the catalogue's name; `timeout_s` covers the whole attempt.

    The other two timers are of a stream: until its first text, and from each piece to the next.
    """

    model: str
    messages: tuple[Message, ...] = field(default=(), repr=False)
    max_output_tokens: int = 300
    """The most tokens of visible text."""
    effort: Effort | None = None
    """How much the model shall think; None leaves it to the vendor, for models that do not think."""
    thinking_tokens: int = 0
    """The tokens that thinking may take beyond `max_output_tokens`."""
    options: ChatOptions = field(default_factory=ChatOptions)
    timeout_s: float = 30.0
    first_token_timeout_s: float | None = None
    between_tokens_timeout_s: float | None = None
    event_id: str = ""
    """The attempt's event in the cost journal; empty for a request that nobody bills, such as a warm-up."""
    tenant_id: str = ""
    """The tenant that pays, whose shard of the journal has the event."""
    traceparent: str = ""
    """The span of the attempt in W3C's form; empty outside a trace."""
    request_id: str = ""
    """The request that the attempt belongs to, for the replica's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One attempt at an embedding model: each input is text, an image, both, or token ids."""

    model: str
    inputs: tuple[Message, ...] = field(repr=False)
    dimensions: int | None = None
    """The size of the vectors; None for the model's own."""
    timeout_s: float = 10.0
    event_id: str = ""
    tenant_id: str = ""
    traceparent: str = ""
    request_id: str = ""
    """All four as in ModelRequest."""


Finish = Literal["stop", "length", "refusal", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. `usage` is None if the vendor reported none, which differs from zero."""

    text: str = field(repr=False)
    model: str
    finish: Finish
    usage: Usage | None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    """Log probabilities in OpenAI's form, where they were requested."""
    service_tier: str | None = None
    """The tier that the vendor served and bills, by its own name; None if it names none."""
    simulated: bool = False
    vendor_s: float = 0.0
    """Seconds spent waiting for the vendor; 0 if not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed answer; the last one carries `finish`, and `usage` if the vendor reported it."""

    text: str = field(default="", repr=False)
    model: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    finish: Finish | None = None
    usage: Usage | None = None
    usage_so_far: Usage | None = None
    """The usage that the vendor has reported before the answer's end: a floor of the bill if the answer is cut.

    Its output tokens count every piece up to this one; none means that the vendor has counted only the input.
    """
    thinking_bytes: int = 0
    """The length of the thinking text that the vendor sent before this piece; the text itself stays at the adapter."""
    service_tier: str | None = None
    vendor_s: float = 0.0
    """On the first delta: seconds spent waiting for the vendor."""


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
class RoomHeartbeat:
    """The last heartbeat of a room: counters since the job began, and times of the last answers."""

    room: str
    tenant_id: str
    job_id: str
    beat_at_s: float
    opened_at_s: float
    counters: Mapping[str, float]


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


class Rooms(Protocol):
    """The open rooms, as the agents report them in heartbeats."""

    async def beat(self, beat: RoomHeartbeat) -> Spending | None:
        """Return the nano-dollars that the room's tenant has spent, without its reservations.

        Returns None if that is unknown; raises RoomClosed or CostsUnavailable.
        """

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None:
        """Close a room for the job that opened it then, whose token is dead from now on."""

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]: ...


class Directory(Protocol):
    """The backend's view of a tenant: its contract and its knowledge base."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant; raises TenantUnknown or BackendUnavailable."""

    async def search(
        self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int
    ) -> tuple[Passage, ...]: ...

    async def tools(self, tenant_id: str) -> tuple[UncheckedTool, ...]:
        """Return the tools of the backend's own procedures for a tenant; raises BackendError."""

    async def call_tool(self, call: ToolInvocation) -> ToolResult:
        """Return the result of one of them; raises BackendError."""

    def report_refused(self, tenant_id: str, source: RefusedSource, fields: Sequence[RefusedField]) -> None:
        """Tell the backend in the background which fields of its own were left out."""
