"""A meeting's record of one utterance, for tests that change a part of it."""

from __future__ import annotations

from typing import Any

from routing.records.models import MeetingRecord, RecordedUtterance, at_time

STARTED_AT_S = 1_700_000_000.0


def utterance(text: str = "Hello.", at_s: float = STARTED_AT_S + 5) -> RecordedUtterance:
    return RecordedUtterance(at=at_time(at_s), identity="ann", name="Ann", medium="speech", text=text)


def meeting_record(**changes: Any) -> MeetingRecord:
    fields: dict[str, Any] = {
        "record_id": "RM_1",
        "first_entry": 1,
        "last": True,
        "started_at": at_time(STARTED_AT_S),
        "joined_at": at_time(STARTED_AT_S + 1),
        "ended_at": at_time(STARTED_AT_S + 60),
        "agent_name": "Rayroom",
        "entries": (utterance(),),
        "tenant_id": "acme",
        "meeting_id": "standup",
        "room": "tenant_acme_standup",
        "job_id": "AJ_1",
    }
    return MeetingRecord(**fields | changes)
