"""Pages of a bill hold the rows of the whole bill, across the journal and its month files."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cluster.bill.reader import read_bill, read_deleted_nanousd
from cluster.costs.journal import Journal
from cluster.costs.ledger import Account
from cluster.costs.storage.month_files import month_paths
from routing.billing.bill import BillQuery, BillRow, Grouping, Key, parse_query
from tests.support.cost_entries import book
from tests.support.cost_history import NOVEMBER_S, OCTOBER_S, write_history

BY_PERSON = BillQuery(by=(Grouping.PARTICIPANT, Grouping.MODEL))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    write_history(path)
    live = Journal(path)
    for number in range(20):
        names: dict[str, Any] = {"participant": f"p{number * 7 % 5}", "model": f"m{number % 3}"}
        names["tenant_id"] = f"t{number % 2}"
        book(live, f"more-{number}", 1 + number, NOVEMBER_S + 10 + number, opened_at_s=NOVEMBER_S + 10, **names)
    live.close()
    return path


def utc(at_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_s, dt.UTC)


def by_pages(journal: Path, query: BillQuery, size: int) -> list[BillRow]:
    rows, key = list[BillRow](), Key()
    while True:
        page = read_bill(journal, query, key, size)
        rows += page.rows
        if page.next_key is None:
            return rows
        assert len(page.rows) == size
        key = page.next_key


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_of_any_size_add_up_to_the_whole_bill(journal: Path, size: int) -> None:
    whole = list(read_bill(journal, BY_PERSON).rows)
    assert len(whole) > 15 and by_pages(journal, BY_PERSON, size) == whole
    assert sum(row.cost_nanousd for row in whole) == 1_720 + sum(range(1, 21))


def test_a_row_in_both_months_is_one_row_on_its_page(journal: Path) -> None:
    query = BillQuery(by=(Grouping.PARTICIPANT,), tenant_id="acme")
    assert [(row.group["participant"], row.cost_nanousd) for row in by_pages(journal, query, 1)] == [
        ("", 400),
        ("ann", 970),
        ("bob", 300),
    ]


def test_the_time_of_a_bill_begins_with_its_first_moment_and_ends_before_its_last(journal: Path) -> None:
    def cost(since_s: float, until_s: float) -> int:
        query = BillQuery(tenant_id="acme", since=utc(since_s), until=utc(until_s))
        return sum(row.cost_nanousd for row in read_bill(journal, query).rows)

    assert cost(OCTOBER_S, OCTOBER_S + 1) == 1_000
    assert cost(OCTOBER_S + 0.001, OCTOBER_S + 1) == 0
    assert cost(OCTOBER_S + 1, OCTOBER_S + 1.001) == 400


def test_a_tenant_is_known_by_what_was_ever_booked_for_it(journal: Path) -> None:
    old = BillQuery(tenant_id="globex", since=utc(NOVEMBER_S))
    assert read_bill(journal, old).rows == () and read_bill(journal, old).tenant_known
    assert not read_bill(journal, BillQuery(tenant_id="akme")).tenant_known


def test_a_read_that_is_stopped_raises(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(settled)") if row[1] not in ("event", "event_id")]
        columns = ", ".join(names)
        db.execute(
            "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 40000)"
            f" INSERT INTO settled (event, event_id, {columns}) SELECT 1000000 + x, 'n' || x, {columns}"
            " FROM n, (SELECT * FROM settled LIMIT 1)"
        )
        db.commit()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        read_bill(journal, BY_PERSON, stopped=lambda: True)


def test_days_whose_events_are_gone_are_missing_in_money(journal: Path) -> None:
    everything, november = BillQuery(), BillQuery(since=utc(NOVEMBER_S - 43_200))
    assert read_deleted_nanousd(journal, everything) == 0
    for path in month_paths(journal).values():
        path.unlink()
    assert read_deleted_nanousd(journal, everything) == 2_350
    assert read_deleted_nanousd(journal, BillQuery(tenant_id="globex")) == 50
    assert read_deleted_nanousd(journal, november) == 0


@pytest.fixture
def new_york(tmp_path: Path) -> Path:
    """A journal around the first of November 2026 in New York, a day of 25 hours; globex has no time zone."""
    path = tmp_path / "zone.db"
    journal = Journal(path)
    with journal.transaction():
        journal.accounts.save({("acme", ""): Account(zone="America/New_York"), ("globex", ""): Account()})
    times = ("2026-11-01T03:59:59Z", "2026-11-01T04:00Z", "2026-11-02T04:59:59Z", "2026-11-02T05:00Z")
    for number, time in enumerate(times):
        at_s = dt.datetime.fromisoformat(time).timestamp()
        for tenant_id in ("acme", "globex"):
            book(journal, f"{tenant_id}-{number}", 10**number, at_s, tenant_id=tenant_id, opened_at_s=at_s)
    journal.close()
    return path


def test_the_days_of_one_tenant_are_those_of_its_time_zone(new_york: Path) -> None:
    def days(tenant_id: str | None) -> dict[str, int]:
        query = BillQuery(by=(Grouping.DAY,), tenant_id=tenant_id)
        return {row.group["day"]: row.cost_nanousd for row in by_pages(new_york, query, 1) if row.tenant_id == "acme"}

    assert days("acme") == {"2026-10-31": 1, "2026-11-01": 110, "2026-11-02": 1_000}
    assert days(None) == {"2026-11-01": 11, "2026-11-02": 1_100}
    assert read_bill(new_york, BillQuery(tenant_id="acme")).time_zone == "America/New_York"
    assert read_bill(new_york, BillQuery()).time_zone == ""


def test_a_bill_of_one_tenant_begins_and_ends_at_its_own_midnight(new_york: Path) -> None:
    def cost(tenant_id: str, since: str, until: str) -> int:
        return sum(row.cost_nanousd for row in read_bill(new_york, parse_query((), tenant_id, since, until)).rows)

    assert cost("acme", "2026-11-01", "2026-11-02") == 110
    assert cost("globex", "2026-11-01", "2026-11-02") == 11
    assert cost("acme", "2026-11-01T04:00Z", "2026-11-02") == 110
    assert cost("acme", "2026-10-01", "2026-11-01") == 1 and cost("acme", "2026-11-01", "2026-12-01") == 1_110
