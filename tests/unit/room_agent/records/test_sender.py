"""Parts of a record fit the bound, and each refusal leads to the right next step."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from room_agent.core.router_client import ReportedRecord, RouterClient
from room_agent.core.router_errors import RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.records.sender import PART_BYTES, next_entries, send_record
from room_agent.records.spool import RecordSpool, SpooledRecord, read_spool
from routing.records.models import RecordPart
from tests.support.meeting_record import utterance
from tests.unit.room_agent.records.test_spool import HEADER, JOB


class ScriptedBackend:
    """A router that answers each part with the next outcome or error, and then with `stored`."""

    def __init__(self, outcomes: Iterable[str | RouterError] = ()) -> None:
        self.outcomes = list(outcomes)
        self.parts: list[dict[str, Any]] = []

    async def report_record(self, part: bytes) -> ReportedRecord:
        self.parts.append(json.loads(part))
        RecordPart.model_validate(self.parts[-1])
        outcome = self.outcomes.pop(0) if self.outcomes else "stored"
        if isinstance(outcome, RouterError):
            raise outcome
        return ReportedRecord.model_validate({"outcome": outcome, "reason": "CODE"})

    def spans(self) -> list[tuple[int, int]]:
        return [(part["firstEntry"], len(part["entries"])) for part in self.parts]


def spooled(directory: Path, entries: int, chars: int = 10) -> SpooledRecord:
    spool = RecordSpool.create(directory, JOB, HEADER)
    for _ in range(entries):
        spool.add("utterance", utterance("x" * chars))
    spool.end(200.0)
    spool.close(delete=False)
    record = read_spool(spool.path)
    assert record is not None
    return record


async def send(backend: ScriptedBackend, record: SpooledRecord) -> str:
    return await send_record(cast(RouterClient, cast(Any, backend)), record, 1_000.0)


async def test_a_long_record_goes_in_parts_of_which_the_last_one_says_so(tmp_path: Path) -> None:
    backend, record = ScriptedBackend(), spooled(tmp_path, 100, 8_000)
    assert await send(backend, record) == "done"
    assert all(len(json.dumps(part["entries"])) <= PART_BYTES for part in backend.parts)
    assert [part["last"] for part in backend.parts] == [False, False, True]
    starts = [first for first, _ in backend.spans()]
    assert starts == [1, 1 + backend.spans()[0][1], 101 - backend.spans()[2][1]]


async def test_a_record_without_entries_is_one_part(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    assert await send(backend, spooled(tmp_path, 0)) == "done" and backend.spans() == [(1, 0)]


async def test_a_part_that_is_too_large_is_sent_in_smaller_ones(tmp_path: Path) -> None:
    backend = ScriptedBackend(["stored", "too_large"])
    assert await send(backend, spooled(tmp_path, 80, 8_000)) == "done"
    sizes = [count for _, count in backend.spans()]
    assert sizes[2] * 3 < sizes[1] and sum(sizes) - sizes[1] == 80


async def test_one_entry_that_is_too_large_is_parked_with_the_reason(tmp_path: Path) -> None:
    record = spooled(tmp_path, 1)
    assert await send(ScriptedBackend(["too_large"]), record) == "parked"
    assert record.path.suffix == ".parked"
    parked = read_spool(record.path)
    assert parked is not None and parked.parked == (1_000.0, "CODE")


@pytest.mark.parametrize("error", [RouterBusy("x", http_status=503), TokenExpired("x", http_status=401)])
async def test_what_was_sent_is_not_sent_again_after_an_error(tmp_path: Path, error: RouterError) -> None:
    record = spooled(tmp_path, 80, 8_000)
    assert await send(ScriptedBackend(["stored", error]), record) == "later"
    again, rest = read_spool(record.path), ScriptedBackend()
    assert again is not None and await send(rest, again) == "done"
    assert rest.spans()[0][0] == record.sent_entries + 1 and rest.parts[-1]["last"]


async def test_a_record_that_is_sent_whole_is_not_sent_again(tmp_path: Path) -> None:
    record = spooled(tmp_path, 2)
    await send(ScriptedBackend(), record)
    again, backend = read_spool(record.path), ScriptedBackend()
    assert again is not None and await send(backend, again) == "done" and not backend.parts


@pytest.mark.parametrize("outcome", ["refused", RouterRefused("x", http_status=404)])
async def test_a_refused_record_is_parked(tmp_path: Path, outcome: str | RouterError) -> None:
    assert await send(ScriptedBackend([outcome]), spooled(tmp_path, 1)) == "parked"


async def test_a_deleted_record_is_done_without_its_other_parts(tmp_path: Path) -> None:
    backend = ScriptedBackend(["deleted"])
    assert await send(backend, spooled(tmp_path, 100, 8_000)) == "done" and len(backend.parts) == 1


def test_a_part_has_at_least_one_entry() -> None:
    assert next_entries([b"x" * 100, b"y"], 10) == [b"x" * 100] and next_entries([], 10) == []
