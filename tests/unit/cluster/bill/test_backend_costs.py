"""Each window of the journal is compared with the rows that the backend holds of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.backend.serialization import cost_event
from cluster.bill.backend_costs import BackendCost, compare_windows, read_backend_export
from cluster.bill.vendor_exports.models import BrokenRow
from cluster.costs.journal import Journal
from cluster.costs.storage.month_files import MonthFiles
from cluster.costs.window_reader import ClosedWindow, read_closed_windows
from tests.support.cost_entries import flush_row, mark_sent, seal
from tests.support.cost_history import NOVEMBER_S, write_history

FOR_EVER_S = 1e12


def window(
    flush_id: str, cost: int = 5, end_s: float = 0.0, sent: bool = True, refused: str | None = None
) -> ClosedWindow:
    return ClosedWindow(flush_id, "acme", "llm", "m", end_s, cost, 1.0 if sent else None, refused)


def stored(flush_id: str, cost: int = 5) -> BackendCost:
    return BackendCost(flush_id=flush_id, tenant_id="acme", model="m", cost_nanousd=cost)


def test_windows_that_agree_or_are_on_their_way_do_not_differ() -> None:
    done = compare_windows([window("a"), window("b", sent=False)], [stored("a")], 0.0, FOR_EVER_S)
    assert done.drift == () and (done.windows, done.waiting, done.waiting_nanousd) == (2, 1, 5)
    assert (done.journal_nanousd, done.backend_nanousd) == (10, 5)


def test_a_stored_window_without_its_acknowledgement_agrees() -> None:
    assert compare_windows([window("a", sent=False)], [stored("a")], 0.0, FOR_EVER_S).drift == ()


@pytest.mark.parametrize(
    ("windows", "rows", "problem", "backend_nanousd"),
    [
        ([window("a")], [], "missing at the backend", 0),
        ([window("a", sent=False, refused="BAD_REQUEST")], [], "parked: BAD_REQUEST", 0),
        ([window("a")], [stored("a", 6)], "another cost at the backend", 6),
        ([window("a")], [stored("a"), stored("a")], "stored 2 times", 10),
        ([], [stored("a")], "unknown to the journal", 5),
    ],
)
def test_each_kind_of_difference_is_named(
    windows: list[ClosedWindow], rows: list[BackendCost], problem: str, backend_nanousd: int
) -> None:
    (drift,) = compare_windows(windows, rows, 0.0, FOR_EVER_S).drift
    assert (drift.problem, drift.backend_nanousd, drift.tenant_id, drift.model) == (
        problem,
        backend_nanousd,
        "acme",
        "m",
    )


def test_windows_outside_the_time_are_known_and_not_compared() -> None:
    done = compare_windows(
        [window("a", end_s=10.0), window("b", end_s=20.0)], [stored("a", 9), stored("b")], 15.0, 25.0
    )
    assert done.windows == 1 and done.drift == ()


def test_an_export_is_read_as_it_was_sent_or_flat(tmp_path: Path) -> None:
    row = flush_row(1_234_567_891)
    sent = cost_event(row)
    nested, flat = tmp_path / "nested.json", tmp_path / "flat.csv"
    nested.write_text(json.dumps([sent, {**sent, "metadata": {"flushId": "f2"}, "costUsd": 0.1}]), "utf-8")
    flat.write_text("flush_id,tenant_id,model,cost_nanousd\nf3,acme,m,-7\n", "utf-8")
    costs = [one for path in (nested, flat) for one in read_backend_export(path)]
    assert [(one.flush_id, one.cost_nanousd) for one in costs if isinstance(one, BackendCost)] == [
        (row.flush_id, 1_234_567_891),
        ("f2", 100_000_000),
        ("f3", -7),
    ]


def test_a_broken_row_of_an_export_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"flushId": "a", "costUsd": 1}\n{"flushId": "b"}\n[]\n{"flushId": 3, "costUsd": 1}\nx\n', "utf-8")
    rows = list(read_backend_export(path))
    assert [row.place for row in rows if isinstance(row, BrokenRow)] == [f"rows.jsonl:{line}" for line in (2, 3, 4, 5)]


def test_windows_in_month_files_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write_history(path)
    before = list(read_closed_windows(path))
    journal = Journal(path)
    rows = seal(journal)
    mark_sent(journal, [row.flush_id for row in rows], NOVEMBER_S)
    months = MonthFiles(path)
    moved = months.copy_windows(NOVEMBER_S + 1, 3)
    both = sorted(one.flush_id for one in read_closed_windows(path))
    journal.drop_windows(moved)
    assert len(moved) == 3 and sorted(one.flush_id for one in read_closed_windows(path)) == both
    assert both == sorted(one.flush_id for one in before)
    journal.close()
