"""Encode a part of a meeting's record as the input of sessions.report, and sort the answers."""

from __future__ import annotations

from typing import Any

from cluster.backend.trpc_response import KEY_CODES, TOO_LARGE, TRANSIENT, TrpcError
from routing.records.markdown import to_markdown
from routing.records.models import MeetingRecord, ReportAnswer

REPORT, DELETE = "sessions.report", "sessions.delete"


def report_input(record: MeetingRecord) -> dict[str, Any]:
    """Return a part as the input of sessions.report. A full one takes some milliseconds."""
    return {
        "tenantId": record.tenant_id,
        "meetingId": record.meeting_id,
        "partId": record.part_id,
        "record": record.model_dump(mode="json", by_alias=True),
        "markdown": to_markdown(record),
    }


def report_answer(outcome: Any) -> ReportAnswer | None:
    """Return the answer to a part from its data or its TrpcError; None for an error after which it is sent again."""
    if isinstance(outcome, TrpcError):
        if outcome.reason in TRANSIENT | KEY_CODES:
            return None
        if outcome.reason == TOO_LARGE:
            return ReportAnswer(outcome="too_large", reason=outcome.reason)
        if outcome.reason == "CONFLICT":
            return ReportAnswer(outcome="duplicate", reason=outcome.reason)
        return ReportAnswer(outcome="refused", reason=outcome.reason)
    data = outcome if isinstance(outcome, dict) else {}
    if data.get("deleted"):
        return ReportAnswer(outcome="deleted")
    return ReportAnswer(outcome="duplicate" if data.get("inserted") == 0 else "stored")


def deleted_count(data: Any) -> int:
    """Return the number of deleted records, as far as the backend returns it."""
    count = data.get("deleted") if isinstance(data, dict) else None
    return count if isinstance(count, int) and count >= 0 else 0
