"""Each answer of the backend to a part of a record leads to one outcome, or to another attempt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.backend.session_records import deleted_count, report_answer, report_input
from cluster.backend.trpc_response import TrpcError
from tests.support.meeting_record import meeting_record


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"inserted": 1, "duplicates": 0}, "stored"),
        (None, "stored"),
        ({"inserted": 0, "duplicates": 1}, "duplicate"),
        ({"inserted": 0, "deleted": True}, "deleted"),
        ("CONFLICT", "duplicate"),
        ("PAYLOAD_TOO_LARGE", "too_large"),
        ("BAD_REQUEST", "refused"),
        ("NOT_FOUND", "refused"),
        ("SERVICE_UNAVAILABLE", None),
        ("INTERNAL_SERVER_ERROR", None),
        ("UNAUTHORIZED", None),
    ],
)
def test_an_answer_is_sorted(outcome: Any, expected: str | None) -> None:
    answer = report_answer(TrpcError("x", reason=outcome) if isinstance(outcome, str) else outcome)
    assert (answer and answer.outcome) == expected


def test_a_part_is_sent_with_its_id_its_json_and_its_markdown() -> None:
    value = json.loads(json.dumps(report_input(meeting_record())))
    assert (value["tenantId"], value["meetingId"], value["partId"]) == ("acme", "standup", "RM_1/AJ_1/1")
    assert value["record"]["entries"][0]["text"] == "Hello." and "**22:13:25 Ann**: Hello." in value["markdown"]


@pytest.mark.parametrize(("data", "count"), [({"deleted": 3}, 3), ({"deleted": -1}, 0), (None, 0), ("3", 0)])
def test_the_number_of_deleted_records_is_read(data: Any, count: int) -> None:
    assert deleted_count(data) == count
