"""Windows end at the month's edge, are filled in slices, and never share an id with another sum."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.journal import Journal
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
