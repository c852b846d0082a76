"""Schemas of the bodies that a room agent sends: opening a room, and its heartbeats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from deployments.api.body import WHOLE, Body, Finite
from deployments.api.field_rules import CLOSED, JSON_OBJECT
from routing.rooms import MAX_ROOM_BYTES, ROOM_PATTERN

# Limits of one event: usage that could not be sent for days is sent as one event.
MAX_AUDIO_MS = 1_000_000_000
MAX_CHARACTERS = 100_000_000

Number = Annotated[Finite, Field(strict=True)]
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

    id: Annotated[str, Field(min_length=1, max_length=128)]
    service: Literal["stt", "tts"]
    model: Annotated[str, Field(min_length=1, max_length=128)]
    audio_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_AUDIO_MS), WHOLE] = 0
    characters: Annotated[int, Field(strict=True, ge=0, le=MAX_CHARACTERS), WHOLE] = 0
    occurred_at: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    estimated: StrictBool = False
    """Whether the job was killed while the request was in transit to the vendor, so that it may not have arrived."""


class Heartbeat(Body):
    """An agent's counters since its job began, and the speech usage not acknowledged yet."""

    usage: Annotated[tuple[SpeechUsageItem, ...], Field(fail_fast=True, max_length=256)] = ()
    counters: Annotated[dict[CounterName, Number], Field(fail_fast=True)] = Field(
        default_factory=dict, max_length=64, json_schema_extra=CLOSED
    )
    ended: StrictBool = False
    """Whether the job has ended, so that only its usage counts."""
