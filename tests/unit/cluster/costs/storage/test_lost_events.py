"""A journal and its month files give the same bill after a restore, at once and for ever, as the backend was sent."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.bill.reader import read_bill
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.journal_reader import month_number, read_booked_events, sum_events
from cluster.costs.models import Knowledge
from cluster.costs.storage.backup import restore
from cluster.costs.storage.journal_file import JournalUnusable
from cluster.costs.storage.month_files import MonthFiles, month_paths, reading_month
from cluster.costs.window_reader import read_closed_windows
from routing.billing.bill import BillQuery, Grouping
from tests.support.cost_entries import book, intent, mark_sent, seal, settlement, spend, spent_by_tenant
from tests.support.manual_clock import ManualClock

DAY_S = 86_400.0
OCTOBER_S = dt.datetime(2026, 10, 31, 12, tzinfo=dt.UTC).timestamp()
LATER_S = OCTOBER_S + 400 * DAY_S


class BilledJournal:
    """A journal at one path, which may be lost and restored, and the backend that has its windows."""

    def __init__(self, directory: Path) -> None:
        self.path, self.backup = directory / "journal.db", directory / "backup.db"
        self.backend: dict[str, tuple[int, int]] = {}
        """The month and the cost of each window, by flush id."""
        self.now_s = OCTOBER_S
        self.journal = Journal(self.path)
        self.spent = 0

    def spend(self, cost_nanousd: int, knowledge: Knowledge = Knowledge.VENDOR_FINAL, event_id: str = "") -> None:
        self.now_s += 0.3 * DAY_S
        self.spent += 1
        book(self.journal, event_id or f"e{self.spent}", cost_nanousd, self.now_s, knowledge, opened_at_s=self.now_s)

    def correct(self, cost_nanousd: int, event_id: str) -> None:
        """Settle an estimated event by its vendor's report."""
        self.now_s += 60.0
        with self.journal.transaction():
            self.journal.settle(settlement(event_id, cost_nanousd), Knowledge.VENDOR_FINAL, self.now_s)

    def send(self) -> None:
        rows = seal(self.journal)
        for row in rows:
            entry = month_number(row.window_end_s), row.cost_nanousd
            assert self.backend.setdefault(row.flush_id, entry) == entry
        mark_sent(self.journal, [row.flush_id for row in rows], self.now_s)

    def archive(self) -> None:
        months = MonthFiles(self.path)
        while (last := months.copy_events(LATER_S, limit=3)) is not None:
            self.journal.drop_events(last)
        while numbers := months.copy_windows(LATER_S, limit=3):
            self.journal.drop_windows(numbers)

    def move(self) -> None:
        self.send()
        self.archive()

    def back_up(self) -> None:
        self.backup.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(self.backup)) as target:
            source.backup(target)

    def lose(self) -> None:
        self.journal.close()
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()

    def restore(self) -> None:
        if self.backup.exists():
            self.lose()
            restore(self.backup, self.path, self.now_s)
            self.journal = Journal(self.path)

    def bill(self) -> dict[int, int]:
        """Return the cost of each month."""
        return {one.key[0]: one.cost_nanousd for one in sum_events(self.path, ["month"])}

    def sent(self) -> dict[int, int]:
        costs = Counter[int]()
        for month, cost_nanousd in self.backend.values():
            costs[month] += cost_nanousd
        return dict(costs)

    def totals(self) -> tuple[int, int, int]:
        """Return the cost in the totals, in the days and in the account of the tenant's present month."""
        with closing(self.journal.reader()) as reader:
            total = reader.totals("acme").settled_nanousd
        days = self.journal.spent_nanousd(0.0).get("acme", 0)
        return total, days, self.journal.ledger(self.now_s).spent("acme", "", self.now_s).month_nanousd


def test_the_bill_of_a_restored_journal_is_that_of_the_backend_in_live_and_past_months(tmp_path: Path) -> None:
    billed = BilledJournal(tmp_path)
    for cost in (1_000, 200):
        billed.spend(cost)
    billed.send()
    billed.spend(40, Knowledge.ROUTER_ESTIMATE, "estimate")
    billed.back_up()
    billed.correct(30, "estimate")
    for cost in (3_000, 500, 7, 60_000):
        billed.spend(cost)
    billed.send()
    billed.archive()
    assert list(month_paths(billed.path)) == [202610, 202611]
    at_loss = billed.sent()

    billed.restore()
    # The newest cost stays in the journal, and is lost with it: 60,000.
    at_loss[202611] -= 60_000
    assert billed.bill() == at_loss and billed.totals()[0] == sum(at_loss.values())
    for cost in (11, 13):
        billed.spend(cost)
    billed.send()
    billed.archive()
    billed.spend(17)
    billed.send()
    expected = billed.sent()
    expected[202611] -= 60_000
    assert billed.bill() == expected
    assert billed.totals() == (sum(expected.values()), sum(expected.values()), expected[202611])
    with closing(billed.journal.reader()) as reader:
        assert reader.totals("acme").sent_nanousd == sum(expected.values())
    page = read_bill(billed.path, BillQuery(tenant_id="acme", by=(Grouping.DAY,)))
    assert sum(row.cost_nanousd for row in page.rows) == sum(expected.values())
    assert {one.flush_id: one.cost_nanousd for one in read_closed_windows(billed.path)} == {
        flush_id: cost_nanousd for flush_id, (_, cost_nanousd) in billed.backend.items()
    }
    billed.journal.close()


OPERATIONS = st.sampled_from(["spend"] * 3 + ["send", "move", "move", "back_up", "restore"])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(operations=st.lists(OPERATIONS, min_size=10, max_size=16))
def test_bill_totals_and_days_agree_and_no_moved_event_disappears_whatever_is_restored(operations: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        billed = BilledJournal(Path(directory))
        for operation in ("spend", "back_up", *operations, "move"):
            if operation == "spend":
                billed.spend(10 ** (billed.spent % 12))
            else:
                getattr(billed, operation)()
            booked = [row["event_id"] for row in read_booked_events(billed.path)]
            assert len(booked) == len(set(booked)) and moved_events(billed.path) <= set(booked)
            assert billed.totals()[:2] == (sum(billed.bill().values()),) * 2
        if "restore" not in operations:
            assert billed.bill() == billed.sent()
        billed.journal.close()


def moved_events(journal: Path) -> set[str]:
    """Return the ids of all events in month files."""
    ids = set[str]()
    for path in month_paths(journal).values():
        with reading_month(path) as (month, _):
            ids |= {event_id for (event_id,) in month.execute("SELECT event_id FROM events")}
    return ids


async def test_the_budgets_of_a_restored_journal_have_what_the_lost_one_has_moved(tmp_path: Path) -> None:
    path, backup, clock = tmp_path / "journal.db", tmp_path / "backup.db", ManualClock(OCTOBER_S)
    lost = CommitLog(Journal(path), clock)
    await spend(lost, "before", 1_000)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    for event_id, tenant_id in (("moved", "acme"), ("another", "globex"), ("lost", "acme")):
        clock.now_s += 0.1 * DAY_S
        await spend(lost, event_id, 200, tenant_id=tenant_id)
    await lost.seal()
    MonthFiles(path).copy_events(LATER_S)
    await lost.aclose()
    path.unlink()
    restore(backup, path, clock.now_s)
    restored = CommitLog(Journal(path), clock)
    assert spent_by_tenant(restored, ["acme", "globex"]) == {"acme": 1_200, "globex": 200}
    assert restored.spent("acme", "tenant_acme_standup").room_nanousd == 1_200
    await restored.aclose()


def test_a_resend_of_a_cost_that_only_a_month_file_has_is_not_booked_again_after_a_restore(tmp_path: Path) -> None:
    billed = BilledJournal(tmp_path)
    billed.spend(1_000)
    billed.back_up()
    billed.restore()
    with billed.journal.transaction():
        assert not billed.journal.add_intent(intent("e1", opened_at_s=billed.now_s), billed.now_s + 9.0, LATER_S)
        assert billed.journal.add_intent(intent("new", opened_at_s=billed.now_s), billed.now_s + 9.0, LATER_S)
    billed.journal.close()


def test_nothing_is_booked_before_the_restore(tmp_path: Path) -> None:
    billed = BilledJournal(tmp_path)
    billed.back_up()
    billed.spend(1_000)
    billed.spend(1_000)
    billed.send()
    billed.archive()
    latest_s, billed.now_s = billed.now_s - 0.3 * DAY_S, OCTOBER_S
    billed.restore()
    assert billed.journal.last_booked_s() > latest_s
    billed.journal.close()


def test_a_journal_begun_anew_beside_the_month_files_of_a_lost_one_continues_their_bill(tmp_path: Path) -> None:
    billed = BilledJournal(tmp_path)
    for cost in (1_000, 200, 30):
        billed.spend(cost)
    billed.send()
    billed.archive()
    billed.lose()
    billed.journal = Journal(billed.path)
    assert billed.bill() == {202610: 1_000, 202611: 200}
    billed.spend(4)
    billed.spend(5)
    billed.send()
    billed.archive()
    assert billed.bill() == {202610: 1_000, 202611: 209}
    billed.lose()

    next(iter(month_paths(billed.path).values())).write_bytes(b"damaged" * 200)
    with pytest.raises(JournalUnusable, match=r"the month file journal-2026-10\.db beside it is unreadable"):
        Journal(billed.path)
