"""The shards of the aggregator are actors of their own; the room signal and the bill are those of all of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from cluster.aggregator.actor import find_aggregators
from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import aggregator_settings
from cluster.cli.main import app
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.journal_reader import read_settled_nanousd
from cluster.costs.storage.shard_files import shard_of
from cluster.rooms.forecast import joined_signal
from routing.billing.bill import BillQuery, Grouping
from routing.models import RoomHeartbeat
from routing.telemetry.aggregator_metrics import COST_METRICS, COSTS_PREFIX
from tests.support.cost_entries import intent, settlement
from tests.support.ray_head import ray_head

DEADLINE_S = 60.0
TENANTS = ("acme", "umbrella")


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AggregatorClient]:
    async with ray_head(tmp_path, monkeypatch):
        costs = CostSettings(journal_path=str(tmp_path / "journal.db"), timeout_s=DEADLINE_S, shards=2)
        backend = BackendSettings(local_path=str(tmp_path / "backend.db"))
        client = AggregatorClient(aggregator_settings(costs, backend, {}, now_s=100.0))
        yield client
        await client.aclose()


def beat(tenant_id: str) -> RoomHeartbeat:
    now_s = time.time()
    return RoomHeartbeat(
        room=f"tenant_{tenant_id}_standup",
        tenant_id=tenant_id,
        job_id="AJ_1",
        beat_at_s=now_s,
        opened_at_s=now_s,
        counters={},
    )


def write_config(directory: Path) -> Path:
    """Write a Serve configuration that names the journal of this test."""
    shipped, journal = Path("serve_config.yaml").read_text("utf-8"), directory / "journal.db"
    (directory / "config.yaml").write_text(shipped.replace(".rayroom/journal.db", str(journal)), "utf-8")
    return directory / "config.yaml"


async def test_two_shards_are_two_actors_whose_journals_and_rooms_are_read_as_one(
    client: AggregatorClient, tmp_path: Path
) -> None:
    assert {shard_of(tenant, 2) for tenant in TENANTS} == {0, 1}
    for cost_nanousd, tenant in enumerate(TENANTS, 1):
        names = {"participant": f"ann of {tenant}", "time_zone": "Pacific/Kiritimati"}
        await client.reserve(intent(tenant, tenant_id=tenant, **names))
        await client.settle(settlement(tenant, cost_nanousd, tenant_id=tenant))
        await client.beat(beat(tenant))
    assert read_settled_nanousd(tmp_path / "journal.db") == {"acme": 1, "umbrella": 2}
    actors = await asyncio.to_thread(find_aggregators)
    signals = await asyncio.gather(*(actor.room_signal.remote() for actor in actors))
    assert [signal.open_rooms for signal in signals] == [1, 1] and joined_signal(signals).open_rooms == 2
    figures = {metric.name.removeprefix(COSTS_PREFIX) for metric in COST_METRICS}
    assert set(await actors[0].cost_metrics.remote()) == figures

    # The bill is read beside the running actors: by one of them, page by page, and by the command.
    by_person = BillQuery(by=(Grouping.PARTICIPANT,))
    first = await client.bill(by_person, (), 1)
    assert first.next_key is not None
    rows = [*first.rows, *(await client.bill(by_person, first.next_key, 1)).rows]
    assert {row.group["participant"]: row.cost_nanousd for row in rows} == {"ann of acme": 1, "ann of umbrella": 2}
    days = await client.bill(BillQuery(by=(Grouping.DAY,), tenant_id="umbrella"), (), 10)
    there = dt.datetime.now(ZoneInfo("Pacific/Kiritimati")).date().isoformat()
    assert (days.time_zone, [row.group["day"] for row in days.rows]) == ("Pacific/Kiritimati", [there])
    assert not (await client.bill(BillQuery(tenant_id="akme"), (), 10)).tenant_known
    config = await asyncio.to_thread(write_config, tmp_path)
    command = await asyncio.to_thread(CliRunner().invoke, app, ["bill", "--json", "--config", str(config)])
    assert json.loads(command.stdout)["total"] == {"requests": 2, "cost_nanousd": 3}
