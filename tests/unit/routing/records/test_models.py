"""A record's JSON has times in UTC, camel case, and no place for anything but text."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from routing.records.models import MAX_TEXT_CHARS, MeetingRecord, RecordPart, cut
from tests.support.meeting_record import meeting_record


def test_a_record_is_read_back_from_its_json() -> None:
    record = meeting_record()
    document = json.loads(record.model_dump_json(by_alias=True))
    assert document["schemaVersion"] == 1 and document["startedAt"] == "2023-11-14T22:13:20.000Z"
    assert MeetingRecord.model_validate(document) == record and record.part_id == "RM_1/AJ_1/1"


def test_a_field_that_is_not_in_the_schema_is_dropped() -> None:
    document = json.loads(meeting_record().model_dump_json(by_alias=True))
    document["entries"][0]["jpeg"] = document["tenantIdOfAnother"] = "x"
    part = RecordPart.model_validate(document)
    assert "jpeg" not in part.model_dump_json() and not hasattr(part, "tenant_id")


@pytest.mark.parametrize(
    "changes",
    [
        {"firstEntry": 0},
        {"recordId": "../etc"},
        {"retentionDays": 0},
        {"startedAt": "2023-11-14T22:13:20"},
        {"entries": [{"kind": "frame"}]},
        {"leftOut": {"answer": -1}},
    ],
)
def test_a_wrong_field_is_refused(changes: dict[str, object]) -> None:
    document = json.loads(meeting_record().model_dump_json(by_alias=True))
    with pytest.raises(ValidationError):
        RecordPart.model_validate(document | changes)


def test_a_text_is_cut_to_the_schema_and_to_utf_8() -> None:
    assert cut("x" * 10_000) == "x" * MAX_TEXT_CHARS and cut("a\ud800b") == "a?b"
