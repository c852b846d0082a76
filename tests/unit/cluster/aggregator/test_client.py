"""The client sends each tenant's entries, heartbeats and call records to the shard of the tenant, and to no other."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from cluster.aggregator import handle as handle_module
from cluster.aggregator import transport as transport_module
from cluster.aggregator.actor import Aggregator, _open_journal
from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import AggregatorSettings, aggregator_settings
from cluster.aggregator.outbox import _PendingEntry
from cluster.aggregator.transport import TransportAddress
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.journal_reader import read_settled_nanousd, sum_events
from cluster.costs.storage.shard_files import shard_file_name, shard_of, shard_path
from cluster.rooms.room_closer import RoomCloser
from routing.errors import ConfigurationError, CostsUnavailable
from routing.models import RoomHeartbeat
from tests.support.cost_entries import call_record, intent, settlement

SHARDS = 2
TENANTS = [f"tenant-{number}" for number in range(50)]
NOW_S = 1_000.0


class RemoteMethod:
    def __init__(self, method: Any) -> None:
        self.remote = method


class ShardInProcess:
    """The aggregator of one shard without its actor and its port."""

    def __init__(self, path: Path, shard: int) -> None:
        self.journal = Journal(shard_path(path, shard), SHARDS)
        self._closer = RoomCloser(path.with_name(shard_file_name("closed_rooms.jsonl", shard)), lambda: NOW_S)
        self._rooms = self.rooms = self._closer.registry
        self._commit_log = self.commit_log = CommitLog(self.journal, lambda: NOW_S, self.rooms.ends)

    def __getattr__(self, name: str) -> RemoteMethod:
        return RemoteMethod(partial(getattr(Aggregator, name), self))

    @property
    def serves(self) -> RemoteMethod:
        return RemoteMethod(AsyncMock(return_value=True))

    @property
    def address(self) -> RemoteMethod:
        return RemoteMethod(AsyncMock(return_value=TransportAddress(host="shard", port=1, secret="")))


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[list[ShardInProcess]]:
    made = [ShardInProcess(tmp_path / "journal.db", shard) for shard in range(SHARDS)]
    yield made
    for shard in made:
        await shard.commit_log.aclose()


@pytest.fixture
async def client(
    shards: list[ShardInProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AggregatorClient]:
    def start(settings: AggregatorSettings, shard: int) -> Any:
        return shards[shard]

    async def refuse(address: TransportAddress) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(handle_module, "start_aggregator", start)
    monkeypatch.setattr(transport_module, "connect", refuse)
    costs = CostSettings(journal_path=str(tmp_path / "journal.db"), shards=SHARDS)
    client = AggregatorClient(aggregator_settings(costs, BackendSettings(), {}, now_s=100.0))
    yield client
    await client.aclose()


def room(tenant_id: str) -> str:
    return f"tenant_{tenant_id}_standup"


def beat(tenant_id: str) -> RoomHeartbeat:
    return RoomHeartbeat(
        room=room(tenant_id), tenant_id=tenant_id, job_id="AJ_1", beat_at_s=time.time(), opened_at_s=NOW_S, counters={}
    )


def home(shards: list[ShardInProcess], tenant_id: str) -> ShardInProcess:
    return shards[shard_of(tenant_id, SHARDS)]


async def test_the_entries_of_each_tenant_are_booked_in_its_shard_and_the_readers_see_all(
    client: AggregatorClient, shards: list[ShardInProcess], tmp_path: Path
) -> None:
    costs = {tenant: 100 + number for number, tenant in enumerate(TENANTS)}
    for tenant, cost_nanousd in costs.items():
        await client.reserve(intent(f"e-{tenant}", tenant_id=tenant))
        await client.settle(settlement(f"e-{tenant}", cost_nanousd, tenant_id=tenant))
        spoken = (intent(f"s-{tenant}", tenant_id=tenant), settlement(f"s-{tenant}", 1, tenant_id=tenant))
        await client.record(spoken)
        assert (await client.totals(tenant)).settled_nanousd == cost_nanousd + 1
    booked = {tenant: cost_nanousd + 1 for tenant, cost_nanousd in costs.items()}
    for number, shard in enumerate(shards):
        mine = {tenant: cost for tenant, cost in booked.items() if shard_of(tenant, SHARDS) == number}
        assert mine and shard.journal.spent_nanousd(0.0) == mine
        assert await shard.commit_log.open_intents() == 0
    path = tmp_path / "journal.db"
    assert read_settled_nanousd(path) == booked
    assert sum(part.cost_nanousd for part in sum_events(path, [])) == sum(booked.values())


async def test_an_abandoned_reservation_is_released_in_the_shard_of_its_tenant(
    client: AggregatorClient, shards: list[ShardInProcess]
) -> None:
    for tenant in TENANTS:
        entry = intent(f"e-{tenant}", tenant_id=tenant)
        await client.reserve(entry)
        client._shard(tenant).outbox._withdraw(_PendingEntry(entry, asyncio.Future()), entry)
    await client.aclose()
    assert [await shard.commit_log.open_intents() for shard in shards] == [0, 0]


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_the_cluster_is_ready_only_while_the_disk_of_every_shard_takes_commits(
    client: AggregatorClient, shards: list[ShardInProcess], shard: int
) -> None:
    await client.ready()
    journal = shards[shard].journal
    journal._db.execute("PRAGMA query_only = 1")
    assert not journal.probe()
    with pytest.raises(CostsUnavailable):
        await client.ready()
    journal._db.execute("PRAGMA query_only = 0")
    await client.ready()


async def test_a_heartbeat_returns_its_tenants_spending_and_a_closed_room_is_closed_in_its_shard(
    client: AggregatorClient, shards: list[ShardInProcess]
) -> None:
    for tenant in TENANTS[:10]:
        await client.record([intent(tenant, tenant_id=tenant), settlement(tenant, 7, tenant_id=tenant)])
        assert await client.beat(beat(tenant))
        assert (await client.of(tenant))[0].room == room(tenant)
        assert list(home(shards, tenant).rooms.heartbeats) == [room(tenant)]
        await client.close(room(tenant), "AJ_1", NOW_S)
        assert not [name for shard in shards for name in shard.rooms.heartbeats]


async def test_a_call_record_goes_to_the_outbox_of_its_tenants_shard(client: AggregatorClient) -> None:
    sink = pickle.loads(pickle.dumps(client.call_records()))
    assert [outbox._aggregator._shard for outbox in sink._outboxes] == [0, 1]
    for tenant in TENANTS:
        sink.add(call_record(tenant, tenant_id=tenant))
    kept = [set(outbox._kept) for outbox in sink._outboxes]
    await sink.aclose()
    assert kept == [{tenant for tenant in TENANTS if shard_of(tenant, SHARDS) == shard} for shard in range(SHARDS)]


async def test_the_actor_refuses_a_journal_that_was_begun_with_another_number_of_shards(
    shards: list[ShardInProcess], tmp_path: Path
) -> None:
    for shard in range(3):
        with pytest.raises(ConfigurationError, match=r"costs\.shards is 3"):
            _open_journal(tmp_path / "journal.db", shard, 3)
