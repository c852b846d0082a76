"""The types that cross processes: model requests and answers, usage and costs, tenants and rooms."""

from __future__ import annotations

from routing.models.costs import (
    CallRecord,
    CallRecords,
    Costs,
    FlushRow,
    Intent,
    Outcome,
    Service,
    Settlement,
    Spending,
    TenantTotals,
    Usage,
)
from routing.models.requests import (
    Answer,
    Delta,
    EmbeddingResult,
    EmbedRequest,
    Finish,
    FrameFeatures,
    ModelRequest,
    Tier,
)
from routing.models.rooms import RoomHeartbeat, Rooms
from routing.models.tenants import (
    MAX_INSTRUCTIONS_CHARS,
    VOICE_LANGUAGES,
    Directory,
    Passage,
    RefusedField,
    RefusedSource,
    Tenant,
    TenantAgent,
)

__all__ = [
    "MAX_INSTRUCTIONS_CHARS",
    "VOICE_LANGUAGES",
    "Answer",
    "CallRecord",
    "CallRecords",
    "Costs",
    "Delta",
    "Directory",
    "EmbedRequest",
    "EmbeddingResult",
    "Finish",
    "FlushRow",
    "FrameFeatures",
    "Intent",
    "ModelRequest",
    "Outcome",
    "Passage",
    "RefusedField",
    "RefusedSource",
    "RoomHeartbeat",
    "Rooms",
    "Service",
    "Settlement",
    "Spending",
    "Tenant",
    "TenantAgent",
    "TenantTotals",
    "Tier",
    "Usage",
]
