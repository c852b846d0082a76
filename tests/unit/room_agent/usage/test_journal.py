"""Check that a killed job's journal holds the sent and unbilled usage, to the unit."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from room_agent.usage.events import MAX_AMOUNT
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UnbilledUsage, UsageJournal, read_journal
from room_agent.usage.meter import SpeechMeter

JOB = JournaledJob(room="tenant_acme_standup", job_id="AJ_1", metadata='{"tenant_id":"acme"}')
NOW_S = 1_700_000_000.0


@pytest.fixture
def journal(tmp_path: Path) -> UsageJournal:
    return UsageJournal.create(tmp_path, JOB)


def meter(journal: UsageJournal) -> SpeechMeter:
    return SpeechMeter(lambda: NOW_S, journal)


def read_unbilled(directory: Path) -> UnbilledUsage:
    (path,) = directory.glob("*.jsonl")
    with path.open("rb") as file:
        return read_journal(file)


def amounts(unbilled: UnbilledUsage) -> list[tuple[int, bool]]:
    return [(event.amount, event.estimated) for event in unbilled.events_at(NOW_S)]


def test_sent_usage_without_an_event_is_unbilled(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    stt, tts = usage.socket("stt", "nova-3"), usage.socket("tts", "eleven_flash_v2_5")
    for _ in range(3):
        stt.will_send(50)
        stt.sent(0)
    tts.will_send(21)
    tts.sent(0)
    unbilled = read_unbilled(tmp_path)
    assert unbilled.job == JOB and amounts(unbilled) == [(150, False), (21, False)]
    assert [event.model for event in unbilled.events_at(NOW_S)] == ["nova-3", "eleven_flash_v2_5"]


def test_announced_usage_is_unbilled_as_an_estimate(tmp_path: Path, journal: UsageJournal) -> None:
    stt = meter(journal).socket("stt", "nova-3")
    stt.will_send(50)
    stt.sent(0)
    stt.will_send(20)
    assert amounts(read_unbilled(tmp_path)) == [(50, False), (20, True)]


def test_bytes_buffered_in_the_process_do_not_count_as_sent(tmp_path: Path, journal: UsageJournal) -> None:
    stt = meter(journal).socket("stt", "nova-3")
    stt.will_send(50)
    stt.sent(waiting_bytes=1_600)
    assert amounts(read_unbilled(tmp_path)) == [(50, True)]
    stt.will_send(50)
    stt.sent(waiting_bytes=0)
    assert amounts(read_unbilled(tmp_path)) == [(100, False)]


def test_an_amount_a_broken_socket_refused_is_not_billed(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    stt = usage.socket("stt", "nova-3")
    stt.will_send(50)
    stt.sent(0)
    stt.will_send(20)
    stt.refused(20)
    assert amounts(read_unbilled(tmp_path)) == [(50, False)] and usage.unbilled == {"stt": 50, "tts": 0}


def test_an_amount_the_vendor_refused_after_the_send_is_not_billed(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    tts = usage.socket("tts", "eleven_flash_v2_5")
    tts.will_send(50)
    tts.sent(0)
    tts.refused(20)
    assert amounts(read_unbilled(tmp_path)) == [(30, False)] and usage.unbilled == {"stt": 0, "tts": 30}


def test_an_event_of_a_heartbeat_keeps_its_id_and_is_unbilled_until_the_router_accepts_it(
    tmp_path: Path, journal: UsageJournal
) -> None:
    usage = meter(journal)
    stt = usage.socket("stt", "nova-3")
    stt.will_send(50)
    stt.sent(0)
    (event,) = usage.due()
    stt.will_send(70)
    stt.sent(0)
    unbilled_events = read_unbilled(tmp_path).events_at(NOW_S)
    assert unbilled_events[0] == event and [event.amount for event in unbilled_events] == [50, 70]
    usage.taken([event.id])
    assert amounts(read_unbilled(tmp_path)) == [(70, False)]


def test_reading_a_dead_jobs_journal_twice_gives_the_same_events(tmp_path: Path, journal: UsageJournal) -> None:
    meter(journal).socket("tts", "eleven_flash_v2_5").will_send(2 * MAX_AMOUNT["tts"] + 1)
    first, second = read_unbilled(tmp_path).events_at(NOW_S), read_unbilled(tmp_path).events_at(NOW_S)
    assert first == second and [event.amount for event in first] == [1_000_000, 1_000_000, 1]
    assert len({event.id for event in first}) == 3


def test_the_file_holds_only_unbilled_usage(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    (path,) = tmp_path.glob("*.jsonl")
    initial_size = path.stat().st_size
    for _ in range(100):
        usage.socket("stt", "nova-3").will_send(50)
        usage.taken([event.id for event in usage.due()])
    assert path.stat().st_size == initial_size and path.stat().st_mode & 0o777 == 0o600
    usage.aclose()
    assert list(tmp_path.iterdir()) == []


def test_unbilled_usage_stays_in_the_file_after_close(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    usage.socket("stt", "nova-3").will_send(50)
    usage.aclose()
    assert amounts(read_unbilled(tmp_path)) == [(50, True)]


def test_a_job_killed_at_any_moment_is_billed_exactly_up_to_its_last_chunk(
    tmp_path: Path, journal: UsageJournal
) -> None:
    rng, usage, sent, accepted = random.Random(3), meter(journal), 0, 0
    stt = usage.socket("stt", "nova-3")
    (path,) = tmp_path.glob("*.jsonl")
    for _ in range(500):
        chunk = rng.randrange(1, 60)
        stt.will_send(chunk)
        unbilled_events = read_unbilled(tmp_path).events_at(NOW_S)
        assert sum(event.amount for event in unbilled_events if not event.estimated) == sent - accepted
        assert sum(event.amount for event in unbilled_events) == sent + chunk - accepted
        sent += chunk
        stt.sent(0)
        if rng.random() < 0.1:
            events = usage.due()
            accepted += sum(event.amount for event in events)
            usage.taken([event.id for event in events])
    assert path.stat().st_size < 4_000


def test_a_truncated_line_is_counted_and_the_other_lines_are_read(tmp_path: Path, journal: UsageJournal) -> None:
    stt = meter(journal).socket("stt", "nova-3")
    stt.will_send(50)
    stt.sent(0)
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'["will",1,"stt","no')
    assert amounts(read_unbilled(tmp_path)) == [(50, False)] and read_unbilled(tmp_path).invalid_lines == 1


@pytest.mark.parametrize("line", ["", "{}", "7", '["job"]', '["will",1,"llm","x",5]', '["event",{"id":"x"}]', "[[]]"])
def test_an_invalid_line_is_counted(line: str) -> None:
    assert read_journal([line.encode()]).invalid_lines == 1


def test_metering_continues_and_counts_each_failure_to_write_the_journal(journal: UsageJournal) -> None:
    usage = meter(journal)
    os.close(journal._file._descriptor)
    journal._file._descriptor = os.open("/dev/full", os.O_WRONLY)
    usage.socket("stt", "nova-3").will_send(50)
    assert [event.audio_ms for event in usage.due()] == [50] and usage.report() == {"usage_unwritten": 2}


def test_the_header_names_the_job(tmp_path: Path, journal: UsageJournal) -> None:
    (path,) = tmp_path.glob("*.jsonl")
    kind, name, job = json.loads(path.read_text())
    assert (kind, name) == ("job", path.stem) and JournaledJob(**job) == JOB


def test_a_speaker_is_in_the_journal_and_lines_without_one_are_read_too(tmp_path: Path, journal: UsageJournal) -> None:
    usage = meter(journal)
    usage.socket("stt", "nova-3", "ann").will_send(50)
    usage.socket("stt", "nova-3", "bob").will_send(20)
    (ann, _) = usage.due()
    usage.taken([ann.id])
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'["will",9,"stt","nova-3",7]\n')
    unbilled = read_unbilled(tmp_path)
    assert unbilled.invalid_lines == 0
    assert [(event.participant, event.amount) for event in unbilled.events_at(NOW_S)] == [("bob", 20), ("", 7)]
