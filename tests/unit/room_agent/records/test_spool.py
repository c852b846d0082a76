"""A record's file survives the job, bounds each kind of entry, and is read without its broken lines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from room_agent.records import spool as module
from room_agent.records.spool import RecordHeader, RecordSpool, SpooledRecord, note, read_spool, spooled_paths
from room_agent.usage.job_file import JournaledJob, as_line
from tests.support.meeting_record import utterance

JOB = JournaledJob(room="tenant_acme_standup", job_id="AJ_1", metadata='{"tenant_id":"acme"}')
HEADER = RecordHeader(
    record_id="RM_1", started_at_s=100.0, joined_at_s=101.0, agent_name="Rayroom", retention_days=None
)


@pytest.fixture
def spool(tmp_path: Path) -> RecordSpool:
    return RecordSpool.create(tmp_path, JOB, HEADER)


def read(spool: RecordSpool) -> SpooledRecord:
    record = read_spool(spool.path)
    assert record is not None
    return record


def test_the_file_of_a_killed_job_has_all_entries_and_the_time_of_the_last_one(spool: RecordSpool) -> None:
    for number in range(3):
        spool.add("utterance", utterance(f"{number}"))
    os.utime(spool.path, (500.0, 500.0))
    record = read(spool)
    assert (record.job, record.header) == (JOB, HEADER) and len(record.entries) == 3
    assert record.ended_at_s == 500.0 and not record.has_end
    assert spool.path.stat().st_mode & 0o777 == 0o600 and spool.path.parent.stat().st_mode & 0o077 == 0


def test_an_entry_beyond_the_bound_of_its_kind_is_counted_and_other_kinds_go_on(
    spool: RecordSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.MAX_BYTES, "utterance", 400)
    for _ in range(10):
        spool.add("utterance", utterance("x" * 50))
    spool.add("answer", utterance("another kind"))
    spool.end(200.0)
    record = read(spool)
    written = len(record.entries) - 1
    assert 0 < written < 10 and record.left_out == {"utterance": 10 - written} == dict(spool.left_out)
    assert record.ended_at_s == 200.0 and record.has_end


def test_entries_that_the_disk_refuses_are_counted(spool: RecordSpool) -> None:
    os.close(spool._file._descriptor)
    spool._file._descriptor = os.open("/dev/full", os.O_WRONLY)
    spool.add("utterance", utterance())
    assert spool.left_out.total() == 1 and spool.entries == 0


def test_no_record_is_begun_while_too_many_wait(
    spool: RecordSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 10)
    with pytest.raises(OSError, match="more than 10 bytes"):
        RecordSpool.create(tmp_path, JOB, HEADER)
    assert spooled_paths(tmp_path) == [spool.path]


def test_a_line_that_was_cut_short_is_left_out_and_the_others_are_read(spool: RecordSpool) -> None:
    spool.add("utterance", utterance())
    with spool.path.open("ab") as file:
        file.write(b'{"kind":"utterance","at":\n["unknown"]\n7\n[')
    record = read(spool)
    assert len(record.entries) == 1 and record.invalid_lines == 4


def test_notes_say_what_was_sent_and_why_it_was_refused(spool: RecordSpool) -> None:
    spool.add("utterance", utterance())
    spool.add("utterance", utterance())
    note(spool.path, "sent", 1)
    note(spool.path, "parked", 300.0, "BAD_REQUEST")
    record = read(spool)
    assert (record.sent_entries, record.is_sent, record.parked) == (1, False, (300.0, "BAD_REQUEST"))
    note(spool.path, "sent", 2)
    assert read(spool).is_sent


def test_a_record_of_a_newer_version_is_read_without_the_fields_that_are_new(spool: RecordSpool) -> None:
    kind, name, job, header = json.loads(spool.path.read_bytes())
    spool.path.write_bytes(as_line(kind, name, job | {"region": "eu"}, header | {"topic": "sales"}))
    record = read(spool)
    assert (record.job, record.header) == (JOB, HEADER)


def test_a_file_without_a_header_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "records" / "a.record"
    path.parent.mkdir()
    for text in ("", "{}\n", '["record"]\n', '["record","a",{},{}]\n'):
        path.write_text(text)
        assert read_spool(path) is None
    assert spooled_paths(tmp_path) == [path] and spooled_paths(tmp_path / "missing") == []
