"""Open events are settled alike from memory and from the disk, and a transaction books each event once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.costs.journal import Journal
from cluster.costs.models import Knowledge
from cluster.costs.storage.open_events import OpenEvent
from cluster.costs.storage.schema import IDENTITY
from tests.support.cost_entries import intent, settlement

NOW_S = 120.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def add(journal: Journal, event_id: str) -> bool:
    return journal.add_intent(intent(event_id), NOW_S, NOW_S + 60.0)


def settle(journal: Journal, event_id: str, cost_nanousd: int = 700) -> bool:
    return journal.settle(settlement(event_id, cost_nanousd), Knowledge.VENDOR_FINAL, NOW_S) is not None


def rows(journal: Journal, table: str) -> list[str]:
    return [event_id for (event_id,) in journal._db.execute(f"SELECT event_id FROM {table} ORDER BY 1")]


def test_an_open_event_has_the_columns_of_its_table() -> None:
    assert OpenEvent._fields == (*IDENTITY, "expires_at_s")


def test_events_that_memory_does_not_hold_are_settled_from_the_disk(journal: Journal) -> None:
    journal._open._max_in_memory = 2
    for number in range(5):
        with journal.transaction():
            add(journal, f"e{number}")
    assert len(journal._open._events) == 2
    with journal.transaction():
        assert [add(journal, f"e{number}") for number in range(5)] == [False] * 5
        assert [settle(journal, f"e{number}") for number in range(5)] == [True] * 5
    assert journal.spent_nanousd(0.0) == {"acme": 3_500}
    assert rows(journal, "open_events") == [] and len(rows(journal, "settled")) == 5


def test_entries_repeated_within_one_transaction_are_booked_once(journal: Journal) -> None:
    with journal.transaction():
        journal.preload([intent("e1"), settlement("e1"), intent("e1"), settlement("e1")])
        assert [add(journal, "e1"), add(journal, "e1")] == [True, False]
        assert [settle(journal, "e1"), settle(journal, "e1"), add(journal, "e1")] == [True, False, False]
    assert (rows(journal, "open_events"), rows(journal, "settled")) == ([], ["e1"])
    assert journal.spent_nanousd(0.0) == {"acme": 700}
    assert journal.ledger(NOW_S).accounts["acme", ""].reserved_nanousd == 0


def test_a_refused_intent_can_be_reserved_again_in_the_same_transaction(journal: Journal) -> None:
    with journal.transaction():
        assert add(journal, "e1")
        journal.remove_intent("e1")
        assert add(journal, "e1")
    assert rows(journal, "open_events") == ["e1"]
    with journal.transaction():
        journal.remove_intent("e1")
        assert add(journal, "e1")
    assert rows(journal, "open_events") == ["e1"]


@pytest.mark.parametrize("written_before", [True, False])
def test_a_rolled_back_transaction_leaves_the_open_events_as_they_were(journal: Journal, written_before: bool) -> None:
    if written_before:
        with journal.transaction():
            add(journal, "e1")
    with pytest.raises(ZeroDivisionError), journal.transaction():
        add(journal, "e1")
        settle(journal, "e1")
        raise ZeroDivisionError
    with journal.transaction():
        assert add(journal, "e1") is not written_before
        assert settle(journal, "e1", 300)
    assert journal.spent_nanousd(0.0) == {"acme": 300}
