"""What a killed job leaves in its journal is what it has sent and nobody has billed, to the unit."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from room_agent.usage.events import MOST_IN_ONE
from room_agent.usage.journal import JournaledJob, UnbilledUsage, UsageJournal, left
from room_agent.usage.meter import SpeechMeter

JOB = JournaledJob(room="tenant_acme_standup", job_id="AJ_1", metadata='{"tenant_id":"acme"}')
NOW_S = 1_700_000_000.0


@pytest.fixture
def journal(tmp_path: Path) -> UsageJournal:
    return UsageJournal.create(tmp_path, JOB)


def speech(journal: UsageJournal) -> SpeechMeter:
    return SpeechMeter(lambda: NOW_S, journal)


def read(directory: Path) -> UnbilledUsage:
    (path,) = directory.glob("*.jsonl")
    with path.open("rb") as file:
        return left(file)


def amounts(found: UnbilledUsage) -> list[tuple[int, bool]]:
    return [(event.amount, event.estimated) for event in found.owed(NOW_S)]


def test_what_was_sent_and_not_told_is_owed_as_it_was_counted(tmp_path: Path, journal: UsageJournal) -> None:
    usage = speech(journal)
    ears, mouth = usage.socket("stt", "nova-3"), usage.socket("tts", "eleven_flash_v2_5")
    for _ in range(3):
        ears.will_send(50)
        ears.sent(0)
    mouth.will_send(21)
    mouth.sent(0)
    found = read(tmp_path)
    assert found.job == JOB and amounts(found) == [(150, False), (21, False)]
    assert [event.model for event in found.owed(NOW_S)] == ["nova-3", "eleven_flash_v2_5"]


def test_what_was_about_to_leave_is_owed_as_an_estimate(tmp_path: Path, journal: UsageJournal) -> None:
    ears = speech(journal).socket("stt", "nova-3")
    ears.will_send(50)
    ears.sent(0)
    ears.will_send(20)
    assert amounts(read(tmp_path)) == [(50, False), (20, True)]


def test_what_still_waits_in_the_process_is_not_known_to_have_left(tmp_path: Path, journal: UsageJournal) -> None:
    ears = speech(journal).socket("stt", "nova-3")
    ears.will_send(50)
    ears.sent(waiting_bytes=1_600)
    assert amounts(read(tmp_path)) == [(50, True)]
    ears.will_send(50)
    ears.sent(waiting_bytes=0)
    assert amounts(read(tmp_path)) == [(100, False)]


def test_what_a_broken_socket_did_not_take_is_owed_by_nobody(tmp_path: Path, journal: UsageJournal) -> None:
    usage = speech(journal)
    ears = usage.socket("stt", "nova-3")
    ears.will_send(50)
    ears.sent(0)
    ears.will_send(20)
    ears.refused(20)
    assert amounts(read(tmp_path)) == [(50, False)] and usage.unbilled == {"stt": 50, "tts": 0}


def test_what_a_vendor_refused_after_it_had_left_is_owed_by_nobody(tmp_path: Path, journal: UsageJournal) -> None:
    usage = speech(journal)
    mouth = usage.socket("tts", "eleven_flash_v2_5")
    mouth.will_send(50)
    mouth.sent(0)
    mouth.refused(20)
    assert amounts(read(tmp_path)) == [(30, False)] and usage.unbilled == {"stt": 0, "tts": 30}


def test_what_a_heartbeat_carried_keeps_its_id_and_is_owed_until_it_is_taken(
    tmp_path: Path, journal: UsageJournal
) -> None:
    usage = speech(journal)
    ears = usage.socket("stt", "nova-3")
    ears.will_send(50)
    ears.sent(0)
    (told,) = usage.due()
    ears.will_send(70)
    ears.sent(0)
    owed = read(tmp_path).owed(NOW_S)
    assert owed[0] == told and [event.amount for event in owed] == [50, 70]
    usage.taken([told.id])
    assert amounts(read(tmp_path)) == [(70, False)]


def test_a_dead_jobs_events_are_the_same_however_often_it_is_read(tmp_path: Path, journal: UsageJournal) -> None:
    speech(journal).socket("tts", "eleven_flash_v2_5").will_send(2 * MOST_IN_ONE["tts"] + 1)
    first, second = read(tmp_path).owed(NOW_S), read(tmp_path).owed(NOW_S)
    assert first == second and [event.amount for event in first] == [1_000_000, 1_000_000, 1]
    assert len({event.id for event in first}) == 3


def test_the_file_holds_no_more_than_what_is_not_taken(tmp_path: Path, journal: UsageJournal) -> None:
    usage = speech(journal)
    (path,) = tmp_path.glob("*.jsonl")
    begun = path.stat().st_size
    for _ in range(100):
        usage.socket("stt", "nova-3").will_send(50)
        usage.taken([event.id for event in usage.due()])
    assert path.stat().st_size == begun and path.stat().st_mode & 0o777 == 0o600
    usage.aclose()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_taken_at_the_end_stays(tmp_path: Path, journal: UsageJournal) -> None:
    usage = speech(journal)
    usage.socket("stt", "nova-3").will_send(50)
    usage.aclose()
    assert amounts(read(tmp_path)) == [(50, True)]


def test_wherever_a_job_is_killed_the_bill_is_what_was_sent_or_the_last_piece_more(
    tmp_path: Path, journal: UsageJournal
) -> None:
    rng, usage, sent, taken = random.Random(3), speech(journal), 0, 0
    ears = usage.socket("stt", "nova-3")
    (path,) = tmp_path.glob("*.jsonl")
    for _ in range(500):
        piece = rng.randrange(1, 60)
        ears.will_send(piece)
        owed = read(tmp_path).owed(NOW_S)
        assert sum(event.amount for event in owed if not event.estimated) == sent - taken
        assert sum(event.amount for event in owed) == sent + piece - taken
        sent += piece
        ears.sent(0)
        if rng.random() < 0.1:
            events = usage.due()
            taken += sum(event.amount for event in events)
            usage.taken([event.id for event in events])
    assert path.stat().st_size < 4_000


def test_a_line_that_was_cut_short_is_counted_and_the_others_are_read(tmp_path: Path, journal: UsageJournal) -> None:
    ears = speech(journal).socket("stt", "nova-3")
    ears.will_send(50)
    ears.sent(0)
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'["will",1,"stt","no')
    assert amounts(read(tmp_path)) == [(50, False)] and read(tmp_path).unread == 1


@pytest.mark.parametrize("line", ["", "{}", "7", '["job"]', '["will",1,"llm","x",5]', '["event",{"id":"x"}]', "[[]]"])
def test_a_line_that_says_nothing_is_counted(line: str) -> None:
    assert left([line.encode()]).unread == 1


def test_a_journal_that_cannot_be_written_is_counted_and_the_count_goes_on(journal: UsageJournal) -> None:
    usage = speech(journal)
    os.close(journal._file)
    journal._file = os.open("/dev/full", os.O_WRONLY)
    usage.socket("stt", "nova-3").will_send(50)
    assert [event.audio_ms for event in usage.due()] == [50] and usage.report() == {"usage_unwritten": 2}


def test_the_header_says_what_the_router_is_to_be_told(tmp_path: Path, journal: UsageJournal) -> None:
    (path,) = tmp_path.glob("*.jsonl")
    what, name, job = json.loads(path.read_text())
    assert (what, name) == ("job", path.stem) and JournaledJob(**job) == JOB
