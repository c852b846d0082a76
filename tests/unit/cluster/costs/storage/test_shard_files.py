"""A tenant stays in its shard, every reader finds all shards, and another number of shards is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.journal import Journal
from cluster.costs.journal_reader import (
    read_day_costs,
    read_open_intents,
    read_settled_events,
    read_settled_nanousd,
    read_tenants,
    sum_events,
)
from cluster.costs.storage.month_files import MonthFiles, month_paths
from cluster.costs.storage.shard_files import refuse_other_shards, shard_of, shard_path, shard_paths
from cluster.costs.window_reader import read_closed_windows
from routing.errors import ConfigurationError
from tests.support.cost_entries import book, intent, mark_sent, seal, unsent

TENANTS = [f"tenant-{number}" for number in range(50)]
MANY = [f"tenant-{number}" for number in range(2_000)]


def begun(path: Path, shards: int) -> Path:
    """Begin a journal with so many shards, and book each tenant's cost in its shard: 1, 2, 3 ... nano-dollars."""
    journals = [Journal(shard_path(path, shard), shards) for shard in range(shards)]
    for cost_nanousd, tenant in enumerate(TENANTS, 1):
        book(journals[shard_of(tenant, shards)], f"e-{tenant}", cost_nanousd, tenant_id=tenant)
    for journal in journals:
        journal.close()
    return path


def refusal(path: Path, shards: int) -> str:
    with pytest.raises(ConfigurationError) as refused:
        refuse_other_shards(path, shards)
    assert refused.value.param == "costs.shards"
    return str(refused.value.message)


def test_the_shard_of_a_tenant_is_the_same_in_every_process_and_version() -> None:
    assert [shard_of(tenant, 4) for tenant in ("acme", "globex", "initech", "umbrella")] == [3, 0, 0, 2]
    assert {shard_of(tenant, 1) for tenant in TENANTS} == {0}


def test_one_more_shard_takes_its_part_of_the_tenants_and_moves_no_other() -> None:
    moved = [tenant for tenant in MANY if shard_of(tenant, 4) != shard_of(tenant, 5)]
    assert {shard_of(tenant, 5) for tenant in moved} == {4}
    assert len(moved) == pytest.approx(len(MANY) / 5, rel=0.15)


def test_every_shard_gets_its_part_of_the_tenants() -> None:
    counts = [sum(shard_of(tenant, 4) == shard for tenant in MANY) for shard in range(4)]
    assert min(counts) > 0.85 * len(MANY) / 4


def test_the_first_shard_keeps_the_journals_own_path(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert [shard_path(path, shard).name for shard in range(3)] == [
        "journal.db",
        "journal-shard-1.db",
        "journal-shard-2.db",
    ]


def test_the_readers_of_a_journal_add_up_all_its_shards(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.db", 2)
    costs = {tenant: cost for cost, tenant in enumerate(TENANTS, 1)}
    assert read_settled_nanousd(path) == costs
    assert {sum_.key[0]: sum_.cost_nanousd for sum_ in sum_events(path, ["tenant_id"])} == costs
    assert len(read_settled_events(path)) == len(TENANTS)
    assert read_tenants(path) == sorted(TENANTS) and read_day_costs(path) == {0: sum(costs.values())}
    # One file alone holds a part only.
    assert 0 < len(read_settled_nanousd(shard_path(path, 1))) < len(TENANTS)


def test_open_intents_of_all_shards_are_counted(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.db", 2)
    for shard in range(2):
        with closing(Journal(shard_path(path, shard), 2)) as journal, journal.transaction():
            journal.add_intent(intent(f"open-{shard}"), 200.0, 260.0)
    assert read_open_intents(path) == 2


def test_month_files_belong_to_their_shard(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.db", 2)
    costs = read_settled_nanousd(path)
    for shard in shard_paths(path):
        with closing(Journal(shard, 2)) as journal, closing(MonthFiles(shard)) as months:
            book(journal, f"last-{shard.name}", 0)
            seal(journal)
            mark_sent(journal, [row.flush_id for row in unsent(journal)][:5], 200.0)
            journal.drop_windows(months.copy_windows(1e9))
            moved = months.copy_events(1e9)
            assert moved is not None
            journal.drop_events(moved)
    assert [found.name for found in month_paths(path).values()] == ["journal-1970-01.db"]
    assert [found.name for found in month_paths(shard_path(path, 1)).values()] == ["journal-shard-1-1970-01.db"]
    assert shard_paths(path) == [path, shard_path(path, 1)]
    assert {window.tenant_id for window in read_closed_windows(path)} >= set(TENANTS)
    sums = {sum_.key[0]: sum_.cost_nanousd for sum_ in sum_events(path, ["tenant_id"])}
    assert {tenant: sums[tenant] for tenant in TENANTS} == costs


@pytest.mark.parametrize(("begun_with", "configured"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_shards_than_the_journal_was_begun_with_is_refused(
    tmp_path: Path, begun_with: int, configured: int
) -> None:
    path = begun(tmp_path / "journal.db", begun_with)
    refuse_other_shards(path, begun_with)
    message = refusal(path, configured)
    assert f"costs.shards is {configured}" in message and f"Set costs.shards to {begun_with}" in message


def test_a_journal_from_before_there_were_shards_has_one(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.db", 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE journal DROP COLUMN shards")
    refuse_other_shards(path, 1)
    assert "was begun with 1" in refusal(path, 2)
    Journal(path).close()


def test_a_shard_whose_own_file_is_new_is_refused_beside_a_journal_that_was_begun_without_it(tmp_path: Path) -> None:
    path = begun(tmp_path / "journal.db", 2)
    path.unlink()
    assert shard_path(path, 1).name in refusal(path, 1)


def test_files_that_are_new_or_no_journal_refuse_no_number(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "journal.db"
    refuse_other_shards(path, 3)
    path.parent.mkdir()
    path.touch()
    shard_path(path, 1).write_bytes(b"no journal" * 100)
    refuse_other_shards(path, 3)
