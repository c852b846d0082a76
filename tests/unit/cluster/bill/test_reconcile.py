"""The reconciliation is exact and shows every difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.bill.reconcile import reconcile
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.journal_reader import read_open_intents, read_settled_nanousd
from cluster.rooms.registry import SILENT_S, RoomRegistry
from routing.billing.money import dollars
from routing.models import RoomHeartbeat
from tests.support.cost_entries import intent, spend


async def test_the_totals_of_the_journal_count_settled_entries_only(tmp_path: Path) -> None:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), lambda: 120.0)
    await spend(commit_log, "e1", 700)
    await spend(commit_log, "e2", 1, tenant_id="globex")
    await commit_log.write([intent("e3")])
    await commit_log.aclose()
    assert read_settled_nanousd(tmp_path / "journal.db") == {"acme": 700, "globex": 1}
    assert read_open_intents(tmp_path / "journal.db") == 1


def test_a_tenant_missing_on_one_side_is_a_difference() -> None:
    rows = reconcile({"acme": 5}, {"acme": 5, "globex": 1})
    assert [(row.tenant_id, row.equal) for row in rows] == [("acme", True), ("globex", False)]


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "$0.000000000"), (1, "$0.000000001"), (1_500_000_000, "$1.500000000"), (-2, "-$0.000000002")],
)
def test_dollars_keep_every_digit(nanousd: int, text: str) -> None:
    assert dollars(nanousd) == text


def heartbeat(room: str = "tenant_acme_x", at_s: float = 0.0, job: str = "j1") -> RoomHeartbeat:
    return RoomHeartbeat(
        room=room, tenant_id=room.split("_")[1], job_id=job, beat_at_s=at_s, opened_at_s=0.0, counters={}
    )


def test_a_room_is_open_while_heartbeats_arrive() -> None:
    registry = RoomRegistry()
    registry.beat(heartbeat())
    registry.beat(heartbeat("tenant_globex_y"))
    assert [open_room.room for open_room in registry.of("acme", now_s=1.0)] == ["tenant_acme_x"]
    assert registry.of("acme", now_s=SILENT_S + 1) == ()


def test_a_replaced_agent_does_not_close_the_room_of_its_successor() -> None:
    registry = RoomRegistry()
    registry.beat(heartbeat(job="j1"))
    registry.beat(heartbeat(job="j2"))
    registry.close("tenant_acme_x", "j1", 0.0, 0.0)
    assert len(registry.of("acme", 0.0)) == 1
    registry.close("tenant_acme_x", "j2", 0.0, 0.0)
    assert registry.of("acme", 0.0) == ()
