"""Sends a spooled record to the router in parts, each of them until the backend has it or refuses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal

import structlog

from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError, RouterRefused
from room_agent.records.spool import PARKED_SUFFIX, SpooledRecord, note
from routing.records.models import MAX_PART_ENTRIES, at_time, iso

PART_BYTES = 350_000
"""The JSON of a part. With its Markdown the backend receives at most three times as much: a body of 1 MB is common."""
LEAST_PART_BYTES = 4_000
SMALLER_BY = 4

Sent = Literal["done", "later", "parked"]
log = structlog.get_logger()


async def send_record(router: RouterClient, record: SpooledRecord, now_s: float) -> Sent:
    """Send the rest of a record; the room is open at the router. Raises OSError.

    `done`: the file can be deleted. `later`: the router or the backend did not answer. `parked`: a part was refused,
    which the log and the file say.
    """
    part_bytes = PART_BYTES
    while not record.is_sent:
        entries = next_entries(record.entries[record.sent_entries :], part_bytes)
        try:
            answer = await router.report_record(part_body(record, entries))
        except RouterRefused as error:
            return await park(record, f"HTTP {error.http_status}", now_s)
        except RouterError as error:
            log.warning("meeting record not sent yet", job=record.job.job_id, detail=error.message)
            return "later"
        if answer.outcome == "deleted":
            log.info("meeting record deleted unsent", job=record.job.job_id)
            return "done"
        if answer.outcome == "too_large" and len(entries) > 1 and part_bytes > LEAST_PART_BYTES:
            part_bytes //= SMALLER_BY
            continue
        if answer.outcome in ("refused", "too_large"):
            return await park(record, answer.reason, now_s)
        record.sent_entries += len(entries)
        record.is_sent = record.sent_entries == len(record.entries)
        await asyncio.to_thread(note, record.path, "sent", record.sent_entries)
    return "done"


def next_entries(entries: Sequence[bytes], part_bytes: int) -> Sequence[bytes]:
    """Return as many of the first entries as a part may have, at least one if there is any."""
    count = size = 0
    for entry in entries[:MAX_PART_ENTRIES]:
        size += len(entry) + 1
        if count and size > part_bytes:
            break
        count += 1
    return entries[:count]


def part_body(record: SpooledRecord, entries: Sequence[bytes]) -> bytes:
    """Return the JSON of the part that begins behind the entries that were sent."""
    header, last = record.header, record.sent_entries + len(entries) == len(record.entries)
    head: dict[str, Any] = {
        "recordId": header.record_id,
        "firstEntry": record.sent_entries + 1,
        "last": last,
        "startedAt": iso(at_time(header.started_at_s)),
        "joinedAt": iso(at_time(header.joined_at_s)),
        "endedAt": iso(at_time(record.ended_at_s)),
        "agentName": header.agent_name,
        "retentionDays": header.retention_days,
        "leftOut": record.left_out if last else {},
    }
    # Spliced: the entries are JSON already.
    return json.dumps(head).encode()[:-1] + b',"entries":[' + b",".join(entries) + b"]}"


async def park(record: SpooledRecord, reason: str, now_s: float) -> Sent:
    """Set a refused record aside under another name, with the reason; raises OSError."""
    log.error("meeting record refused", job=record.job.job_id, room=record.job.room, reason=reason)
    await asyncio.to_thread(note, record.path, "parked", now_s, reason)
    record.path = record.path.rename(record.path.with_suffix(PARKED_SUFFIX))
    return "parked"
