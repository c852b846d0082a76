"""The call records of a killed replica are taken over whole, once, and by one other replica."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from cluster.aggregator.call_files import FILE_S, CallFiles
from cluster.aggregator.messages import pack_records
from tests.support.cost_entries import call_record
from tests.support.manual_clock import ManualClock

KEPT_S = 600.0


@pytest.fixture
def living(tmp_path: Path) -> Iterator[CallFiles]:
    files = opened(tmp_path, "living")
    yield files
    files.close()


def opened(directory: Path, replica_id: str, *event_ids: str) -> CallFiles:
    files = CallFiles(directory, replica_id, KEPT_S)
    files.open()
    for event_id in event_ids:
        files.write(pack_records([call_record(event_id)]))
    return files


def test_the_records_of_a_replica_are_taken_over_when_it_has_ended_and_not_before(
    tmp_path: Path, living: CallFiles
) -> None:
    other = opened(tmp_path, "other", "e1", "e2")
    assert living.take_over().replica_ids == ()
    other.close()
    ended = living.take_over()
    assert ended.replica_ids == ("other",) and set(ended.records) == {"e1", "e2"}
    assert living.take_over().replica_ids == ()


def write_and_wait(directory: Path, ready: Connection) -> None:
    opened(directory, "killed", "e1")
    ready.send("written")
    signal.pause()


def test_what_a_killed_process_has_written_is_taken_over(tmp_path: Path, living: CallFiles) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=write_and_wait, args=(tmp_path, theirs))
    process.start()
    assert process.pid is not None and ours.poll(30) and ours.recv() == "written"
    assert living.take_over().replica_ids == ()
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert set(living.take_over().records) == {"e1"}


def test_who_takes_over_a_replica_takes_over_all_that_this_one_had_taken_over(
    tmp_path: Path, living: CallFiles
) -> None:
    opened(tmp_path, "first", "e1").close()
    second = opened(tmp_path, "second", "e2")
    second.take_over()
    second.close()
    ended = living.take_over()
    assert set(ended.replica_ids) == {"first", "second"} and set(ended.records) == {"e1", "e2"}


def test_a_kill_between_two_steps_of_a_takeover_loses_no_record(tmp_path: Path, living: CallFiles) -> None:
    opened(tmp_path, "first", "e1").close()
    second = opened(tmp_path, "second", "e2")
    assert second._take("first")
    second.close()
    assert set(living.take_over().records) == {"e1", "e2"}


def test_a_record_that_was_cut_by_the_kill_is_left_out(tmp_path: Path, living: CallFiles) -> None:
    opened(tmp_path, "other", "e1", "e2").close()
    (path,) = (tmp_path / "other").glob("*.records")
    path.write_bytes(path.read_bytes()[:-1])
    assert set(living.take_over().records) == {"e1"}


def test_a_replica_whose_records_cannot_be_read_does_not_count_as_returned(tmp_path: Path, living: CallFiles) -> None:
    other = opened(tmp_path, "other", "e1")
    other.write(b"[1]")
    other.close()
    assert living.take_over().replica_ids == ()


def test_the_records_of_calls_that_are_long_over_are_removed(tmp_path: Path) -> None:
    clock = ManualClock(0.0)
    files = CallFiles(tmp_path, "living", KEPT_S, clock)
    files.open()
    opened(tmp_path, "other", "e1").close()
    for path in (tmp_path / "other").iterdir():
        os.utime(path, (0.0, 0.0))
    assert files.take_over().replica_ids == ("other",)
    for at_s in (0.0, 2 * FILE_S):
        clock.now_s = at_s
        files.write(pack_records([call_record("e2")]))
        os.utime(tmp_path / "living" / f"{0 if at_s == 0.0 else 1:06}.records", (at_s, at_s))
    clock.now_s = KEPT_S + 1.0
    files.write(pack_records([call_record("e3")]))
    files.take_over()
    assert sorted(path.name for path in (tmp_path / "living").iterdir()) == ["000001.records", "000002.records", "lock"]
    files.remove()
    assert not (tmp_path / "living").exists()
