"""Schemas of the responses to room agents and administrators, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from deployments.api.openapi.responses import CompletionUsage, Count, ResponseBody, RoutingFacts
from routing.billing.bill import Grouping
from routing.capabilities import ImageTokens
from routing.models import TenantAgent


class HealthStatus(ResponseBody):
    status: Literal["ok", "ready"]


class FrameDescription(RoutingFacts):
    """The description of a frame, and how it was routed."""

    description: str
    model: str
    finish: Literal["stop", "length", "refusal", "tool_calls"]
    usage: CompletionUsage | None


class RoomTenant(ResponseBody):
    id: str
    name: str
    plan: str


class GrantedLimits(ResponseBody):
    frames_per_second: float
    image_long_side_px: int
    heartbeat_every_s: float
    max_frame_bytes: int
    image_tokens: ImageTokens | None
    """How the model that describes most frames counts the tokens of an image."""


class RoomBudget(ResponseBody):
    """The tenant's tightest budget: the one of which the greatest share is spent."""

    spent_nanousd: Count
    limit_nanousd: Count
    kind: Literal["monthly", "daily", "room"]


class RefusedAgentField(ResponseBody):
    """A field of the metadata's agent that is wrong."""

    name: str
    problem: str


class RoomGrant(ResponseBody):
    """An open room: its tenant, its limits, and the token for its other requests."""

    room: str
    tenant: RoomTenant
    token: str
    expires_at: float
    simulated: bool
    limits: GrantedLimits
    budget: RoomBudget | None
    takes_participants: bool
    """Whether heartbeats, frames and searches may name the participants whose costs they are."""
    agent: TenantAgent
    """The tenant's agent: names, instructions, greeting, language, voice, tier, and what it watches."""
    agent_refused: list[RefusedAgentField]
    """The fields of the metadata's agent that are wrong, and left out."""


class SetAside(ResponseBody):
    """A usage item that cannot be priced: its id where it has one, and the wrong field."""

    id: str | None
    param: str
    message: str


class HeartbeatAnswer(ResponseBody):
    """The room's token, the usage ids that are durable now, the items set aside, and the tenant's budget."""

    room: str
    token: str
    expires_at: float
    taken: list[str]
    set_aside: list[SetAside]
    budget: RoomBudget | None


class UsageTotals(ResponseBody):
    """A tenant's totals so far, in nano-dollars."""

    tenant_id: str
    settled_nanousd: Count
    reserved_nanousd: Count
    sent_nanousd: Count
    requests: Count
    estimated_requests: Count
    by_model: list[dict[str, Any]]


class OpenRoomCounters(ResponseBody):
    room: str
    tenant_id: str
    job_id: str
    beat_at_s: float
    opened_at_s: float
    counters: dict[str, float]


class TenantReport(UsageTotals):
    """A tenant's totals so far, and its open rooms."""

    rooms: list[OpenRoomCounters]


class BillLine(ResponseBody):
    """A sum of the bill; its cost is what was reported, estimated and corrected together."""

    tenant_id: str
    group: dict[str, str]
    """The values of the grouping, such as `{"room": "tenant_acme_standup"}`."""
    requests: Count
    estimated_requests: int
    """The requests whose cost is an estimate still; negative where a later month corrects those of an earlier one."""
    usage: dict[str, int]
    cost_nanousd: int
    reported_nanousd: int
    estimated_nanousd: int
    corrections_nanousd: int


class BillPageBody(ResponseBody):
    """A page of the bill, and the cursor of the next one, null on the last page."""

    by: list[Grouping]
    time_zone: str
    """The time zone in which the bill's days begin: that of its one tenant, or UTC."""
    rows: list[BillLine]
    next_cursor: str | None


class ReportedPart(ResponseBody):
    """The backend's answer to a part of a meeting's record; the reason is its code."""

    outcome: Literal["stored", "duplicate", "deleted", "too_large", "refused"]
    reason: str


class DeletedRecords(ResponseBody):
    """The number of records that the backend has deleted."""

    deleted: int


class PassageRow(ResponseBody):
    id: str
    source: str
    text: str
    score: float | None


class FoundPassages(ResponseBody):
    """The passages for a question, the best first, and the cost of its embedding."""

    passages: list[PassageRow]
    model: str
    cost_nanousd: Count
    simulated: bool
