"""Windows end at the month's edge of every time zone, are filled in slices, and never share an id with another sum."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from cluster.costs.journal import Journal
from routing.billing.budgets import QUARTER_S, month_start_s
from routing.models import FlushRow, Usage
from tests.support.cost_entries import book, mark_sent, seal, unsent

DECEMBER_S = dt.datetime(2026, 12, 1, tzinfo=dt.UTC).timestamp()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def test_a_window_ends_at_the_months_edge_and_its_times_lie_in_its_month(journal: Journal) -> None:
    book(journal, "e1", 1_000_000_000, DECEMBER_S - 8.0)
    book(journal, "e2", 5_000_000, DECEMBER_S + 3.0)
    november, december = seal(journal)
    assert (november.cost_nanousd, november.window_end_s) == (1_000_000_000, DECEMBER_S - 8.0)
    assert (december.cost_nanousd, december.window_start_s) == (5_000_000, DECEMBER_S + 3.0)
    assert journal.spent_nanousd(DECEMBER_S) == {"acme": 5_000_000}


@pytest.mark.parametrize(
    "edge",
    [
        # New York's summer time ends on the first of November, Lord Howe's begins three days after its October.
        "2026-11-01T00:00-04:00",
        "2026-12-01T00:00-05:00",
        "2026-10-01T00:00+10:30",
        "2026-11-01T00:00+11:00",
        "2026-12-01T00:00+05:45",
        "2026-12-01T00:00+13:45",
    ],
)
def test_a_window_ends_at_the_months_edge_of_a_time_zone(journal: Journal, edge: str) -> None:
    edge_s = dt.datetime.fromisoformat(edge).timestamp()
    for name, booked_at_s in (("first", edge_s - 2), ("last", edge_s - 0.001), ("next", edge_s), ("later", edge_s + 5)):
        book(journal, name, 10, booked_at_s)
    assert [(row.window_start_s, row.window_end_s) for row in seal(journal)] == [
        (edge_s - 2, edge_s - 0.001),
        (edge_s, edge_s + 5),
    ]


def test_every_month_of_every_time_zone_begins_with_a_quarter_of_an_hour() -> None:
    # The tenth of each month from 2026 to 2030, in steps that no month skips.
    tenths_s = [dt.datetime(2026 + n // 12, n % 12 + 1, 10, tzinfo=dt.UTC).timestamp() for n in range(60)]
    for zone in available_timezones():
        assert not any(month_start_s(at_s, zone) % QUARTER_S for at_s in tenths_s), zone


def test_events_of_the_next_quarter_of_an_hour_wait_until_the_windows_are_closed(journal: Journal) -> None:
    for number in range(3):
        book(journal, f"a{number}", 1, 897.0 + number)
    for number in range(2):
        book(journal, f"b{number}", 10, 900.0 + number)
    assert (journal.fill_windows(), journal.fill_windows(), journal.unsealed_events) == (3, 0, 2)
    assert journal.close_windows() == 1
    assert (journal.fill_windows(), journal.close_windows(), journal.unsealed_events) == (2, 1, 0)
    assert [(row.cost_nanousd, row.window_end_s) for row in unsent(journal)] == [(3, 899.0), (20, 901.0)]


def test_slices_fill_one_window_which_is_sent_when_it_is_complete(journal: Journal) -> None:
    for number in range(7):
        book(journal, f"e{number}", 10 + number, 120.0 + number, usage=Usage(input_tokens=number))
    assert [journal.fill_windows(3) for _ in range(4)] == [3, 3, 1, 0]
    assert unsent(journal) == ()
    assert journal.close_windows() == 1
    (window,) = unsent(journal)
    assert (window.requests, window.cost_nanousd, window.usage) == (7, sum(range(10, 17)), {"input_tokens": 21})
    assert (window.window_start_s, window.window_end_s) == (120.0, 126.0)


def test_windows_are_closed_in_slices_too(journal: Journal) -> None:
    for number in range(5):
        book(journal, f"e{number}", 1, tenant_id=f"t{number}")
    journal.fill_windows()
    assert [journal.close_windows(2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(unsent(journal)) == 5


def test_a_price_version_or_a_simulated_model_has_a_window_of_its_own(journal: Journal) -> None:
    book(journal, "e1", 1, price_version="a")
    book(journal, "e2", 2, price_version="b")
    book(journal, "e3", 4, price_version="b", simulated=False)
    assert sorted((row.price_version, row.simulated, row.cost_nanousd) for row in seal(journal)) == [
        ("a", True, 1),
        ("b", False, 4),
        ("b", True, 2),
    ]


def test_a_window_that_was_being_filled_at_a_crash_is_completed(tmp_path: Path) -> None:
    crashed = Journal(tmp_path / "journal.db")
    book(crashed, "e1", 10)
    crashed.fill_windows()
    crashed._file.release()
    reopened = Journal(tmp_path / "journal.db")
    book(reopened, "e2", 20)
    (window,) = seal(reopened)
    assert (window.cost_nanousd, window.epoch) == (30, reopened.epoch)
    reopened.close()


def test_a_window_that_was_being_filled_at_a_crash_takes_nothing_of_a_later_quarter(tmp_path: Path) -> None:
    crashed = Journal(tmp_path / "journal.db")
    book(crashed, "e1", 10, 899.0)
    crashed.fill_windows()
    crashed._file.release()
    reopened = Journal(tmp_path / "journal.db")
    book(reopened, "e2", 20, 900.0)
    assert [(row.cost_nanousd, row.window_end_s) for row in seal(reopened)] == [(10, 899.0), (20, 900.0)]
    reopened.close()


def hour_of_spend(journal: Journal, name: str, cost_nanousd: int) -> tuple[FlushRow, ...]:
    """Book an hour's events, sealed every minute."""
    start_s = journal.last_booked_s()
    for minute in range(60):
        book(journal, f"{name}-{minute}", cost_nanousd, start_s + 60.0 * minute, usage=Usage(input_tokens=minute))
        seal(journal)
    return unsent(journal)


def test_a_restored_backup_never_uses_a_flush_id_for_another_sum(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    backend: dict[str, FlushRow] = {}

    def send(rows: tuple[FlushRow, ...]) -> None:
        for row in rows:
            assert backend.setdefault(row.flush_id, row) == row

    hour_of_spend(journal, "before", 1_000)
    journal.fill_windows()
    with closing(sqlite3.connect(journal.path)) as source, closing(sqlite3.connect(tmp_path / "backup.db")) as target:
        source.backup(target)
    send(hour_of_spend(journal, "lost", 2_000))
    journal.close()
    (tmp_path / "journal.db").unlink()
    (tmp_path / "backup.db").rename(tmp_path / "journal.db")
    restored = Journal(tmp_path / "journal.db")
    assert restored.journal_id == journal.journal_id and restored.epoch != journal.epoch
    send(hour_of_spend(restored, "after", 10_000))
    restored.close()
    assert sum(row.cost_nanousd for row in backend.values()) == 60 * (1_000 + 2_000 + 10_000)


def test_a_window_counts_as_sent_once(journal: Journal) -> None:
    book(journal, "e1", 700)
    (window,) = seal(journal)
    mark_sent(journal, [window.flush_id, window.flush_id, "unknown"], 130.0)
    mark_sent(journal, [window.flush_id], 131.0)
    with closing(journal.reader()) as reader:
        assert reader.totals("acme").sent_nanousd == 700
    assert unsent(journal) == ()
