"""The schema of a meeting's record: its entries in the order of their times, its costs, and the count of what was cut.

A record is text: no field can hold a frame or a sound. JSON has the names in camel case.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
)
from pydantic.alias_generators import to_camel

from routing.validation import WHOLE

MAX_TEXT_CHARS = 8_000
"""The longest answer of an agent; a longer text is cut by the agent."""
MAX_LABEL_CHARS = 512
MAX_SOURCES = 50
MAX_PART_ENTRIES = 800
"""So many answers with the most sources are still a body of no more strings than the API reads."""
MAX_ID_CHARS = 128


def _utc(time: dt.datetime) -> dt.datetime:
    return time.astimezone(dt.UTC)


def iso(time: dt.datetime) -> str:
    """Return a UTC time in milliseconds, as the backend's own times are written."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _no_number(value: Any) -> Any:
    """Refuse a number, which pydantic would take for the seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("must be a time with its zone, as in RFC 3339")
    return value


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_no_number),
    AfterValidator(_utc),
    PlainSerializer(iso, return_type=str, when_used="json"),
]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS, repr=False)]
Label = Annotated[str, Field(max_length=MAX_LABEL_CHARS)]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[A-Za-z0-9._:-]+$")]
Amount = Annotated[int, Field(strict=True, ge=0), WHOLE]
EntryKind = Literal["utterance", "description", "answer", "tool_call"]


class RecordModel(BaseModel):
    """A part of a record. Fields that this version does not know are dropped, so that a newer agent may send some."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


def _kind_required(schema: dict[str, Any]) -> None:
    """Say in the schema that an entry names its kind, although this code need not."""
    schema["required"] = ["kind", *schema.get("required", ())]


class RecordedEntry(RecordModel):
    """One entry of a record."""

    model_config = ConfigDict(json_schema_extra=_kind_required)


class RecordedUtterance(RecordedEntry):
    """A final transcript or a chat message of a participant."""

    kind: Literal["utterance"] = "utterance"
    at: Time
    identity: Label
    name: Label
    medium: Literal["speech", "chat"]
    text: Text


class RecordedDescription(RecordedEntry):
    """The description of a frame of a participant's screen or camera."""

    kind: Literal["description"] = "description"
    at: Time
    """When the frame was captured."""
    identity: Label
    name: Label
    source: Literal["screen_share", "camera"]
    text: Text
    model: Label
    cost_nanousd: Amount
    simulated: StrictBool


class RecordedAnswer(RecordedEntry):
    """An answer of the agent, as far as it was written or spoken."""

    kind: Literal["answer"] = "answer"
    at: Time
    """When it ended."""
    asked_at: Time
    identity: Label
    """Of the participant who asked; so is the name."""
    name: Label
    text: Text
    sources: Annotated[tuple[Label, ...], Field(max_length=MAX_SOURCES)] = ()
    """The sources of the passages of the tenant's knowledge that the model was given."""
    interrupted: StrictBool = False
    failed: StrictBool = False


class RecordedToolCall(RecordedEntry):
    """A call of one of the tenant's tools, without its arguments and its result."""

    kind: Literal["tool_call"] = "tool_call"
    at: Time
    """When it ended."""
    name: Label
    outcome: Label
    duration_ms: Amount
    cost_nanousd: Amount = 0


Entry = RecordedUtterance | RecordedDescription | RecordedAnswer | RecordedToolCall


class RecordedCost(RecordModel):
    """The costs of one model in the meeting's room."""

    service: Label
    model: Label
    requests: int
    estimated_requests: int
    usage: dict[str, int]
    cost_nanousd: int


class MeetingCosts(RecordModel):
    """The costs of the whole meeting in the cost journal at a time. Later corrections are on the bill alone."""

    as_of: Time
    total_nanousd: int
    models: tuple[RecordedCost, ...]


class LeftOutEntries(RecordModel):
    """The entries that were left out, because the record was full or its disk failed, by kind."""

    utterance: Amount = 0
    description: Amount = 0
    answer: Amount = 0
    tool_call: Amount = 0


class RecordPart(RecordModel):
    """Consecutive entries of one agent. The record of a meeting is the parts of all agents that were in its room.

    Two parts of the same record, job and first entry are the same part.
    """

    record_id: Id
    """LiveKit's id of the room, which is another one whenever a meeting of the same name begins again."""
    first_entry: Annotated[int, Field(strict=True, ge=1), WHOLE]
    """The number of the part's first entry among the entries of this agent, from 1 on."""
    last: StrictBool
    """Whether the part is this agent's last one. Another agent of the meeting may send later parts."""
    started_at: Time
    """When the room was created."""
    joined_at: Time
    ended_at: Time
    """When the agent left; for a killed one, when it last wrote an entry."""
    agent_name: Label
    retention_days: Annotated[int, Field(strict=True, ge=1, le=36_500), WHOLE] | None = None
    entries: Annotated[
        tuple[Annotated[Entry, Field(discriminator="kind")], ...],
        Field(max_length=MAX_PART_ENTRIES, fail_fast=True, repr=False),
    ]
    left_out: LeftOutEntries = LeftOutEntries()
    """In the last part those of the whole time of the agent."""


class MeetingRecord(RecordPart):
    """A part as the backend receives it."""

    schema_version: Literal[1] = 1
    tenant_id: Label
    meeting_id: Label
    room: Label
    job_id: Label
    """The job of the agent that sends the part, or sent it before it was killed."""
    costs: MeetingCosts | None = None
    """In the last part of each agent; of several, the one with the latest `as_of` holds."""

    @property
    def part_id(self) -> str:
        """Return the id under which the backend stores the part once."""
        return f"{self.record_id}/{self.job_id}/{self.first_entry}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    """The backend's answer to a part.

    `deleted`: the meeting's records were deleted since it began, so the part is to be deleted here too. `too_large`: a
    smaller part may be stored. `refused`: the backend's code is the reason.
    """

    outcome: Literal["stored", "duplicate", "deleted", "too_large", "refused"]
    reason: str = ""


class RecordStore(Protocol):
    """The part of a backend that keeps the records of meetings."""

    async def report_record(self, record: MeetingRecord) -> ReportAnswer:
        """Store a part once, by its id, unless the meeting's records were deleted since it began.

        Raises BackendUnavailable, or BackendRefused for a refused key.
        """

    async def delete_records(self, tenant_id: str, meeting_id: str | None) -> int:
        """Delete the records of a tenant or of one meeting, and refuse the parts of meetings that began before.

        Returns the number of deleted records; raises BackendError.
        """


def at_time(time_s: float) -> dt.datetime:
    """Return a UNIX time as a time of the record."""
    return dt.datetime.fromtimestamp(time_s, dt.UTC)


def cut(text: str, most: int = MAX_TEXT_CHARS) -> str:
    """Return a text that the schema takes: its beginning where it is too long, without what UTF-8 cannot encode."""
    return text[:most].encode("utf-8", "replace").decode()
