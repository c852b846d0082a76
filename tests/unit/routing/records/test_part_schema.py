"""A part of a record is as strict as its published schema, and its largest one is a body that the API reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from deployments.api.json_text import parse_json
from routing.records.models import MAX_PART_ENTRIES, MAX_SOURCES, RecordedAnswer, RecordPart, at_time
from tests.support.meeting_record import STARTED_AT_S, meeting_record


def part(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(RecordPart.model_dump_json(meeting_record(), by_alias=True))
    return {
        name: value for name, value in fields.items() if name in RecordPart.model_json_schema()["properties"]
    } | changes


@pytest.mark.parametrize(
    "change",
    [
        {"leftOut": {"utterance": False}},
        {"leftOut": {"utterance": "1"}},
        {"startedAt": 0},
        {"last": 1},
        {"firstEntry": "1"},
        {"entries": [{"at": "2026-01-01T00:00:00Z", "name": "", "outcome": "", "durationMs": 0}]},
    ],
)
def test_a_value_of_another_type_than_the_schema_s_is_refused(change: dict[str, Any]) -> None:
    RecordPart.model_validate(part())
    with pytest.raises(ValidationError):
        RecordPart.model_validate(part(**change))


def test_the_schema_says_that_an_entry_names_its_kind() -> None:
    definitions = RecordPart.model_json_schema(by_alias=True)["$defs"]
    entries = [definitions[name] for name in definitions if "kind" in definitions[name]["properties"]]
    assert len(entries) == 4 and all("kind" in entry["required"] for entry in entries)


def test_a_part_of_as_many_of_the_fullest_entries_as_it_may_hold_is_read() -> None:
    at = at_time(STARTED_AT_S)
    answer = RecordedAnswer(
        at=at, asked_at=at, identity="ann", name="Ann", text="Yes.", sources=("handbook",) * MAX_SOURCES
    )
    body = part(entries=[json.loads(answer.model_dump_json(by_alias=True))] * MAX_PART_ENTRIES)
    assert len(RecordPart.model_validate(parse_json(json.dumps(body).encode())).entries) == MAX_PART_ENTRIES
