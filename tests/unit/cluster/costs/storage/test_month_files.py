"""Events of past times move to month files, stay queryable, and are never booked twice."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.journal import KEPT_S, Journal
from cluster.costs.journal_reader import read_settled_events, read_settled_nanousd, sum_events
from cluster.costs.models import Knowledge
from cluster.costs.storage.month_files import MonthFiles, month_paths
from cluster.costs.storage.schema import USAGE
from routing.models import Usage
from routing.units import DAY_S
from tests.support.cost_entries import book, intent, mark_sent, seal, settlement, unsent

OCTOBER_S = dt.datetime(2026, 10, 5, tzinfo=dt.UTC).timestamp()
NOVEMBER_S = OCTOBER_S + 31 * DAY_S


def two_months(path: Path) -> Journal:
    """Return a journal with ten events in October and one in November, sealed and acknowledged."""
    journal = Journal(path)
    for number in range(10):
        at_s, usage = OCTOBER_S + number, Usage(input_tokens=number)
        book(journal, f"e{number}", 100, at_s, usage=usage, room=f"r{number % 2}", opened_at_s=at_s)
    book(journal, "e-november", 5, NOVEMBER_S, room="r0", opened_at_s=NOVEMBER_S)
    rows = seal(journal)
    mark_sent(journal, [row.flush_id for row in rows], NOVEMBER_S + 10.0)
    return journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = two_months(tmp_path / "journal.db")
    yield journal
    journal.close()


def move(journal: Journal, before_s: float, limit: int = 4) -> None:
    """Move all events and windows before a time in slices."""
    months = MonthFiles(journal.path)
    while (last := months.copy_events(before_s, limit)) is not None:
        journal.drop_events(last)
    while windows := months.copy_windows(before_s, limit):
        journal.drop_windows(windows)


def by_room(journal: Journal) -> dict[tuple[object, ...], int]:
    return {one.key: one.cost_nanousd for one in sum_events(journal.path, ["month", "room"])}


ALL = {(202610, "r0"): 500, (202610, "r1"): 500, (202611, "r0"): 5}


def test_moved_events_leave_the_journal_and_count_once_in_every_sum(journal: Journal) -> None:
    assert by_room(journal) == ALL
    move(journal, NOVEMBER_S)
    assert list(month_paths(journal.path)) == [202610]
    assert journal._db.execute("SELECT count(*) FROM settled").fetchone() == (1,)
    assert by_room(journal) == ALL
    assert read_settled_nanousd(journal.path) == {"acme": 1_005}
    assert len(read_settled_events(journal.path)) == 11


def test_events_that_are_copied_and_not_yet_deleted_count_once(journal: Journal) -> None:
    assert MonthFiles(journal.path).copy_events(NOVEMBER_S) == 10
    assert by_room(journal) == ALL
    assert MonthFiles(journal.path).copy_events(NOVEMBER_S) == 10
    journal.drop_events(10)
    assert by_room(journal) == ALL


def test_events_move_in_slices(journal: Journal) -> None:
    months = MonthFiles(journal.path)
    assert months.copy_events(NOVEMBER_S, 4) == 4
    journal.drop_events(4)
    assert months.copy_events(NOVEMBER_S, 4) == 8
    assert months.copy_events(OCTOBER_S, 4) is None


def test_unsealed_events_and_unacknowledged_windows_stay(journal: Journal) -> None:
    book(journal, "unsealed", 7, NOVEMBER_S + 1.0)
    move(journal, NOVEMBER_S + DAY_S)
    (last,) = seal(journal)
    move(journal, NOVEMBER_S + DAY_S)
    assert unsent(journal) == (last,)
    book(journal, "later", 1, NOVEMBER_S + 2.0)
    assert [row.seq for row in seal(journal)] == [3, 4]


def test_a_resend_of_a_moved_event_is_not_booked_again(journal: Journal) -> None:
    move(journal, NOVEMBER_S)
    resent = intent("e3", opened_at_s=OCTOBER_S + 3)
    with journal.transaction():
        assert not journal.add_intent(resent, NOVEMBER_S + KEPT_S, NOVEMBER_S + KEPT_S + 60.0)
        assert journal.settle(settlement("e3", 999), Knowledge.VENDOR_FINAL, NOVEMBER_S + KEPT_S) is None
    assert by_room(journal) == ALL


def test_better_knowledge_of_a_moved_event_corrects_it(journal: Journal) -> None:
    book(journal, "expired", 900, NOVEMBER_S + 1.0, Knowledge.EXPIRY)
    book(journal, "newest", 1, NOVEMBER_S + 2.0)
    seal(journal)
    move(journal, NOVEMBER_S + 2.0)
    with journal.transaction():
        settled = journal.settle(settlement("expired", 100), Knowledge.VENDOR_FINAL, NOVEMBER_S + 2.0)
    assert settled is not None and settled.corrected and settled.added_nanousd == -800


def test_a_closed_month_is_compressed_and_still_counts(journal: Journal) -> None:
    move(journal, NOVEMBER_S)
    months = MonthFiles(journal.path)
    assert months.find("e3") is not None
    assert months.compress(202612) == []
    (packed,) = months.compress(202701)
    assert packed.name == "journal-2026-10.db.gz"
    assert sorted(file.name for file in journal.path.parent.glob("journal-*")) == [packed.name]
    assert months.find("e3") is None
    assert by_room(journal) == ALL
    months.close()


def test_windows_that_are_acknowledged_late_join_a_compressed_month(journal: Journal) -> None:
    months = MonthFiles(journal.path)
    last = months.copy_events(NOVEMBER_S)
    assert last is not None
    journal.drop_events(last)
    months.compress(202701)
    windows = months.copy_windows(NOVEMBER_S + DAY_S)
    journal.drop_windows(windows)
    assert month_paths(journal.path)[202610].suffix == ".db"
    assert by_room(journal) == ALL
    months.close()


def test_months_beyond_the_retention_are_deleted(journal: Journal) -> None:
    move(journal, NOVEMBER_S)
    months = MonthFiles(journal.path)
    assert months.delete_before(202701, 3) == []
    assert [path.name for path in months.delete_before(202702, 3)] == ["journal-2026-10.db"]
    assert read_settled_nanousd(journal.path) == {"acme": 1_005}


def test_numbers_that_repeat_after_a_restored_backup_lose_no_event(tmp_path: Path) -> None:
    journal = two_months(tmp_path / "journal.db")
    with closing(sqlite3.connect(journal.path)) as source, closing(sqlite3.connect(tmp_path / "backup.db")) as target:
        source.backup(target)
    for name in ("lost-1", "lost-2"):
        book(journal, name, 10, NOVEMBER_S + 1.0, room="lost")
    seal(journal)
    move(journal, NOVEMBER_S + DAY_S)
    journal.close()
    journal.path.unlink()
    (tmp_path / "backup.db").rename(journal.path)
    restored = Journal(journal.path)
    for name in ("new-1", "new-2"):
        book(restored, name, 1, NOVEMBER_S + 2.0, room="new")
    seal(restored)
    move(restored, NOVEMBER_S + DAY_S)
    sums = {key: cost for key, cost in by_room(restored).items() if key[1] in ("new", "lost")}
    assert sums == {(202611, "lost"): 10, (202611, "new"): 2}
    restored.close()


def test_a_month_file_without_the_newest_usage_unit_is_read_and_extended(journal: Journal) -> None:
    move(journal, OCTOBER_S + 5.0)
    with closing(sqlite3.connect(month_paths(journal.path)[202610])) as db:
        db.execute(f"ALTER TABLE events DROP COLUMN {USAGE[-1]}")
        db.commit()
    assert by_room(journal) == ALL
    move(journal, NOVEMBER_S)
    assert by_room(journal) == ALL


def test_sums_take_a_tenant_and_a_time(journal: Journal) -> None:
    book(journal, "globex", 3, NOVEMBER_S + 1.0, tenant_id="globex")
    move(journal, NOVEMBER_S)
    (globex,) = sum_events(journal.path, ["tenant_id"], tenant_id="globex")
    assert (globex.key, globex.cost_nanousd, globex.requests) == (("globex",), 3, 1)
    (first_five,) = sum_events(journal.path, [], since_s=OCTOBER_S, until_s=OCTOBER_S + 5.0)
    assert (first_five.cost_nanousd, first_five.usage) == (500, {"input_tokens": 10})
    assert sum_events(journal.path, ["room"], tenant_id="unknown") == []


def test_a_sum_by_an_unknown_column_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="cannot be summed by cost; allowed: tenant_id"):
        sum_events(journal.path, ["cost"])


def test_a_damaged_month_file_does_not_stop_new_costs(journal: Journal) -> None:
    move(journal, NOVEMBER_S)
    month_paths(journal.path)[202610].write_bytes(b"no database" * 1_000)
    book(journal, "late", 7, NOVEMBER_S + 1.0, opened_at_s=OCTOBER_S)
    assert journal.spent_nanousd(NOVEMBER_S) == {"acme": 12}
