"""The reconciliation is exact, and a difference cannot hide."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal, read_open_intents, read_settled_nanousd
from cluster.costs.reconcile import dollars, reconcile
from cluster.rooms.registry import SILENT_S, RoomRegistry
from routing.models import RoomHeartbeat
from tests.support.cost_entries import intent, spend


async def test_the_journals_totals_are_what_was_settled(tmp_path: Path) -> None:
    recorder = CommitLog(Journal(tmp_path / "journal.db"), lambda: 120.0)
    await spend(recorder, "e1", 700)
    await spend(recorder, "e2", 1, tenant_id="globex")
    await recorder.write([intent("e3")])
    await recorder.aclose()
    assert read_settled_nanousd(tmp_path / "journal.db") == {"acme": 700, "globex": 1}
    assert read_open_intents(tmp_path / "journal.db") == 1


def test_a_tenant_that_one_side_does_not_know_is_a_difference() -> None:
    rows = reconcile({"acme": 5}, {"acme": 5, "globex": 1})
    assert [(row.tenant_id, row.equal) for row in rows] == [("acme", True), ("globex", False)]


@pytest.mark.parametrize(
    ("nanousd", "said"),
    [(0, "$0.000000000"), (1, "$0.000000001"), (1_500_000_000, "$1.500000000"), (-2, "-$0.000000002")],
)
def test_dollars_lose_no_digit(nanousd: int, said: str) -> None:
    assert dollars(nanousd) == said


def beat(room: str = "tenant_acme_x", at_s: float = 0.0, job: str = "j1") -> RoomHeartbeat:
    return RoomHeartbeat(
        room=room, tenant_id=room.split("_")[1], job_id=job, beat_at_s=at_s, opened_at_s=0.0, counters={}
    )


def test_a_room_is_open_while_its_agent_beats() -> None:
    book = RoomRegistry()
    book.beat(beat())
    book.beat(beat("tenant_globex_y"))
    assert [one.room for one in book.of("acme", now_s=1.0)] == ["tenant_acme_x"]
    assert book.of("acme", now_s=SILENT_S + 1) == ()


def test_an_agent_that_was_replaced_does_not_close_its_successors_room() -> None:
    book = RoomRegistry()
    book.beat(beat(job="j1"))
    book.beat(beat(job="j2"))
    book.close("tenant_acme_x", "j1", 0.0, 0.0)
    assert len(book.of("acme", 0.0)) == 1
    book.close("tenant_acme_x", "j2", 0.0, 0.0)
    assert book.of("acme", 0.0) == ()
