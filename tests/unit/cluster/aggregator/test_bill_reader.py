"""The aggregator reads a bill for a limited time, one at a time, and refuses more than a few that wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster.aggregator.bill_reader import MAX_WAITING, BillReader
from routing.billing.bill import BillQuery
from tests.support.cost_history import write_history

QUERY = BillQuery(tenant_id="acme")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    write_history(tmp_path / "journal.db")
    return tmp_path / "journal.db"


async def test_a_page_is_read_beside_the_event_loop(journal: Path) -> None:
    page = await BillReader(journal, 30.0).page(QUERY, (), 1)
    assert page is not None and [row.cost_nanousd for row in page.rows] == [1_270]
    assert page.next_key == ("acme", "llm", "gpt-6.1-sol")


async def test_a_page_that_has_no_time_left_is_none(journal: Path) -> None:
    reader = BillReader(journal, 30.0)
    assert reader._read(QUERY, (), 1, ends_at_s=0.0) is None


async def test_more_than_a_few_waiting_pages_are_refused(journal: Path) -> None:
    reader = BillReader(journal, 30.0)
    async with reader._reading:
        waiting = [asyncio.create_task(reader.page(QUERY, (), 1)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        assert await reader.page(QUERY, (), 1) is None
    assert None not in await asyncio.gather(*waiting)
