"""The embedded backend remembers a deletion for as long as a part of the deleted meeting may still come."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from cluster.backend.local_records import MEMORY_S, SCHEMA, delete, store
from routing.records.models import MeetingRecord, at_time
from tests.support.meeting_record import meeting_record

STARTED_S = 1_000_000.0
DELETED_S = STARTED_S + 60.0


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        yield db


def part(meeting_id: str = "standup") -> MeetingRecord:
    return meeting_record(started_at=at_time(STARTED_S), meeting_id=meeting_id)


def remembered(db: sqlite3.Connection) -> list[str]:
    return [meeting_id for (meeting_id,) in db.execute("SELECT meeting_id FROM deleted_records ORDER BY meeting_id")]


def test_a_part_that_comes_after_its_deletion_is_never_stored(db: sqlite3.Connection) -> None:
    delete(db, "acme", "standup", DELETED_S)
    answers = [store(db, part(), STARTED_S + age_s) for age_s in (120.0, MEMORY_S, MEMORY_S + 1.0)]
    delete(db, "acme", "review", DELETED_S + MEMORY_S + 1.0)
    answers.append(store(db, part(), DELETED_S + MEMORY_S + 1.0))
    assert [answer.outcome for answer in answers] == ["deleted", "deleted", "refused", "refused"]
    assert db.execute("SELECT count(*) FROM meeting_records").fetchone() == (0,)


def test_a_deletion_is_forgotten_once_no_part_may_come(db: sqlite3.Connection) -> None:
    delete(db, "acme", "standup", DELETED_S)
    delete(db, "acme", "review", DELETED_S + MEMORY_S)
    assert remembered(db) == ["review", "standup"]
    delete(db, "acme", None, DELETED_S + MEMORY_S + 1.0)
    assert remembered(db) == ["", "review"]


def test_a_part_without_a_deletion_is_stored_while_it_may_come(db: sqlite3.Connection) -> None:
    assert store(db, part(), STARTED_S + MEMORY_S).outcome == "stored"
    assert store(db, part("late"), STARTED_S + MEMORY_S + 1.0).reason == "TOO_OLD"
