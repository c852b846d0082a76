"""A tenant as the backend describes it: its contract, its agent and its knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool
from routing.tools.record import TenantTools

RefusedSource = Literal["record", "metadata"]
"""Where a refused field stands: in the tenant's record, or in the signed metadata of a room."""

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
