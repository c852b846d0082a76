"""Schemas of the bodies that a room agent sends: opening a room, and its heartbeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, StrictBool, ValidationError

from deployments.api.body import Body, Finite, Label, bad_input
from deployments.api.field_rules import CLOSED, JSON_OBJECT
from routing.rooms import MAX_ROOM_BYTES, ROOM_PATTERN
from routing.validation import WHOLE

# Limits of one event: usage that could not be sent for days is sent as one event.
MAX_AUDIO_MS = 1_000_000_000
MAX_CHARACTERS = 100_000_000
MAX_ID_CHARS = 128
MAX_USAGE_ITEMS = 256

Number = Annotated[Finite, Field(strict=True)]
MAX_COUNTERS = 128
"""A room with a voice, tools and a record has 65."""
CounterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class OpenRoom(Body):
    """The body with which an agent opens a room; `metadata` is that of its job, signed by the company's backend."""

    # `parse_room` checks the name, with a code of its own.
    room: Annotated[str, Field(json_schema_extra={"pattern": ROOM_PATTERN, "maxLength": MAX_ROOM_BYTES})]
    job_id: Annotated[str, Field(min_length=1, max_length=128)]
    metadata: Annotated[str, Field(max_length=16_384, json_schema_extra=JSON_OBJECT)]
    ended: StrictBool = False
    """Whether the job has ended and only its bill is sent, which a suspended tenant owes too."""


class SpeechUsageItem(Body):
    """The usage of one STT or TTS request, as the agent counted it. Its id is the same on every resend."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]
    service: Literal["stt", "tts"]
    model: Annotated[str, Field(min_length=1, max_length=128)]
    audio_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_AUDIO_MS), WHOLE] = 0
    characters: Annotated[int, Field(strict=True, ge=0, le=MAX_CHARACTERS), WHOLE] = 0
    occurred_at: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    estimated: StrictBool = False
    """Whether the job was killed while the request was in transit to the vendor, so that it may not have arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidUsageItem:
    """A usage item that is not valid; `id` is None where the item has none, `param` where it is no object."""

    id: str | None
    param: str | None
    problem: str


def _valid_or_not(value: Any) -> SpeechUsageItem | InvalidUsageItem:
    """Return the item, or its first error: one wrong item must not keep a room's other usage from its bill."""
    try:
        return SpeechUsageItem.model_validate(value)
    except ValidationError as error:
        wrong, named = bad_input(error), value.get("id") if isinstance(value, dict) else None
        known = named if isinstance(named, str) and 1 <= len(named) <= MAX_ID_CHARS else None
        problem = wrong.message.removeprefix(f"{wrong.param}: ")
        return InvalidUsageItem(id=known, param=wrong.param if isinstance(value, dict) else None, problem=problem)


# A union here would put the invalid item into the OpenAPI document.
UsageItem = Annotated[Any, PlainValidator(_valid_or_not, json_schema_input_type=SpeechUsageItem)]


class Heartbeat(Body):
    """An agent's counters since its job began, and the speech usage not acknowledged yet."""

    usage: Annotated[tuple[UsageItem, ...], Field(fail_fast=True, max_length=MAX_USAGE_ITEMS)] = ()
    participants: Annotated[dict[str, Label], Field(fail_fast=True, max_length=MAX_USAGE_ITEMS)] = Field(
        default_factory=dict
    )
    """The identities of the speakers by the ids of their usage, for the bill; other usage is nobody's."""
    counters: Annotated[dict[CounterName, Number], Field(fail_fast=True)] = Field(
        default_factory=dict, max_length=MAX_COUNTERS, json_schema_extra=CLOSED
    )
    ended: StrictBool = False
    """Whether the job has ended, so that only its usage counts."""
