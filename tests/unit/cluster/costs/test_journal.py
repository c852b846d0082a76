"""The journal keeps the best known cost of each event, and changes of sealed events as rows of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.journal import Journal
from cluster.costs.models import Correction, Knowledge
from routing.models import TenantTotals, Usage
from tests.support.cost_entries import book, intent, seal, settlement

MAY_2027_S = 1_809_000_000.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def totals(journal: Journal, tenant_id: str = "acme") -> TenantTotals:
    with closing(journal.reader()) as reader:
        return reader.totals(tenant_id)


def settle(journal: Journal, cost_nanousd: int, knowledge: Knowledge, usage: Usage, at_s: float = 130.0) -> bool:
    estimated = knowledge < Knowledge.REPLICA_PARTIAL
    settled = settlement("e1", cost_nanousd, usage=usage, estimated=estimated)
    with journal.transaction():
        return journal.settle(settled, knowledge, at_s) is not None


def test_better_knowledge_replaces_the_cost_of_an_unsealed_event(journal: Journal) -> None:
    book(journal, "e1", 900, knowledge=Knowledge.EXPIRY)
    assert settle(journal, 700, Knowledge.REPLICA_PARTIAL, Usage(output_tokens=7))
    assert not settle(journal, 900, Knowledge.ROUTER_ESTIMATE, Usage(output_tokens=9))
    assert not settle(journal, 1, Knowledge.REPLICA_PARTIAL, Usage(output_tokens=1))
    (window,) = seal(journal)
    assert (window.cost_nanousd, window.usage, window.requests) == (700, {"output_tokens": 7}, 1)
    assert window.estimated_requests == 0 and totals(journal).estimated_requests == 0
    assert journal.spent_nanousd(0.0) == {"acme": 700}


def test_better_knowledge_of_a_sealed_event_becomes_a_signed_row_in_a_window_of_its_own(journal: Journal) -> None:
    book(journal, "e1", 900, knowledge=Knowledge.EXPIRY, usage=Usage(output_tokens=9))
    seal(journal)
    assert settle(journal, 700, Knowledge.REPLICA_PARTIAL, Usage(output_tokens=7))
    assert settle(journal, 750, Knowledge.VENDOR_FINAL, Usage(output_tokens=7, input_tokens=5))
    assert not settle(journal, 800, Knowledge.VENDOR_FINAL, Usage(output_tokens=8))
    first, change = seal(journal)
    assert (first.cost_nanousd, first.requests, first.estimated_requests) == (900, 1, 1)
    assert (change.cost_nanousd, change.requests, change.estimated_requests) == (-150, 0, -1)
    assert change.usage == {"output_tokens": -2, "input_tokens": 5}
    assert change.flush_id != first.flush_id and change.cumulative_nanousd == 750
    after = totals(journal)
    assert (after.settled_nanousd, after.requests, after.estimated_requests) == (750, 1, 0)


def test_a_change_of_a_sealed_event_counts_in_the_month_in_which_it_became_known(journal: Journal) -> None:
    book(journal, "e1", 900, MAY_2027_S, Knowledge.EXPIRY)
    seal(journal)
    next_month_s = MAY_2027_S + 31 * 86_400
    settle(journal, 700, Knowledge.VENDOR_FINAL, Usage(), next_month_s)
    assert journal.spent_nanousd(MAY_2027_S) == {"acme": 700}
    assert journal.spent_nanousd(next_month_s) == {"acme": -200}


def test_a_correction_by_hand_is_a_row_that_is_added_once(journal: Journal) -> None:
    book(journal, "e1", 900)
    seal(journal)
    refund = Correction(correction_id="refund-1", event_id="e1", cost_nanousd=-400)
    with journal.transaction():
        assert journal.correct(refund, 130.0) is not None
        assert journal.correct(refund, 131.0) is None
        assert journal.correct(Correction(correction_id="r2", event_id="unknown", cost_nanousd=-1), 131.0) is None
    assert totals(journal).settled_nanousd == 500 and totals(journal).requests == 1
    _, window = seal(journal)
    assert (window.cost_nanousd, window.requests, window.usage) == (-400, 0, {})


def test_the_running_sums_equal_the_sums_of_the_events(journal: Journal) -> None:
    for number in range(20):
        book(journal, f"e{number}", number, 120.0 + number, model=f"m{number % 3}", tenant_id=f"t{number % 2}")
    with journal.transaction():
        journal.add_intent(intent("open", tenant_id="t1"), 120.0, 180.0)
        journal.add_intent(intent("refused", tenant_id="t1"), 120.0, 180.0)
        journal.remove_intent("refused")
    with sqlite3.connect(journal.path) as db:
        for tenant, cost, requests in db.execute(
            "SELECT tenant_id, sum(cost_nanousd), count(*) FROM settled GROUP BY 1"
        ):
            assert (totals(journal, tenant).settled_nanousd, totals(journal, tenant).requests) == (cost, requests)
    db.close()
    assert totals(journal, "t1").reserved_nanousd == 1_000
    assert journal.ledger(120.0).accounts["t1", ""].reserved_nanousd == 1_000


def test_a_rolled_back_transaction_leaves_the_running_sums_as_they_were(journal: Journal) -> None:
    book(journal, "e1", 700)
    with pytest.raises(ZeroDivisionError), journal.transaction():
        journal.add_intent(intent("e2"), 120.0, 180.0)
        journal.settle(settlement("e2"), Knowledge.VENDOR_FINAL, 120.0)
        raise ZeroDivisionError
    book(journal, "e3", 30)
    assert (totals(journal).settled_nanousd, totals(journal).requests) == (730, 2)


def test_an_event_keeps_its_request_and_its_participant(journal: Journal) -> None:
    book(journal, "e1", 700, request_id="req-1", participant="ann")
    with closing(journal.reader()) as reader:
        (event,) = reader.events()
    assert (event["request_id"], event["participant"], event["arrived_at_s"]) == ("req-1", "ann", 120.0)


def test_the_last_booking_time_survives_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal.last_booked_s() == 0.0
    book(journal, "e1", 700, 5_000.5)
    journal.close()
    reopened = Journal(tmp_path / "journal.db")
    assert reopened.last_booked_s() == 5_000.5
    reopened.close()


def test_a_full_disk_fails_commits_until_there_is_room(journal: Journal) -> None:
    book(journal, "e1", 700)
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for number in range(1_000):
            book(journal, f"full-{number}", 1, room="r" * 1_000)
    assert not journal.writable
    before = totals(journal).settled_nanousd
    journal._db.execute(f"PRAGMA max_page_count = {pages + 1_000}")
    assert journal.probe() and journal.writable
    book(journal, "e2", 30)
    assert totals(journal).settled_nanousd == before + 30


def test_an_entry_that_sqlite_cannot_hold_does_not_make_the_journal_unwritable(journal: Journal) -> None:
    with pytest.raises(OverflowError):
        book(journal, "e1", 2**63)
    assert journal.writable
