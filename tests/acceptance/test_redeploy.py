"""`serve deploy` with other settings reaches the running aggregator, and no router of an older deployment undoes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import ray

from cluster.aggregator.actor import find_aggregator
from cluster.aggregator.call_records import CallRecordOutbox
from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import AggregatorSettings, DeployedVersion, aggregator_settings
from cluster.config.settings import BackendSettings, CostSettings
from cluster.lab.stack.plan import planned
from cluster.lab.stack.processes import Processes
from cluster.lab.stack.startup import start_ray
from routing.errors import CostsUnavailable
from tests.support.cost_entries import call_record, intent, settlement

ROOT = Path(__file__).parents[2]
BETWEEN = DeployedVersion(deployed_at_s=150.0, fingerprint="another")
DEADLINE_S = 60.0


@pytest.fixture
async def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A Ray cluster of this test alone, and a connection to it."""
    with planned(ROOT, tmp_path / "run") as plan:
        async with Processes(plan.directory / "logs") as processes:
            environment = await start_ray(plan, processes, cpus=1)
            for name in (name for name in environment if name.startswith("RAY_")):
                monkeypatch.setenv(name, environment[name])
            await asyncio.to_thread(
                lambda: ray.init(address=plan.ray_address, namespace="redeploy", log_to_driver=False)
            )
            try:
                yield
            finally:
                ray.shutdown()


def deployed(path: Path, name: str, now_s: float) -> AggregatorSettings:
    """Return the settings of a deployment with a backend of its own."""
    costs = CostSettings(journal_path=str(path / "journal.db"), timeout_s=DEADLINE_S)
    return aggregator_settings(costs, BackendSettings(local_path=str(path / f"{name}.db")), {}, now_s)


async def runs_new_deployment() -> bool:
    """Return whether the running aggregator is newer than `BETWEEN`: only then it serves that deployment's routers."""
    found: bool = await find_aggregator().serves.remote(BETWEEN)
    return found


async def connected_replicas() -> int:
    metrics: dict[str, float] = await find_aggregator().cost_metrics.remote()
    return int(metrics["connected_replicas"])


@pytest.fixture
async def clients(head: None, tmp_path: Path) -> AsyncIterator[tuple[AggregatorClient, AggregatorClient]]:
    """The routers' clients of an older and of a newer deployment."""
    older = AggregatorClient(deployed(tmp_path, "old", 100.0))
    newer = AggregatorClient(deployed(tmp_path, "new", 200.0))
    yield older, newer
    await older.aclose()
    await newer.aclose()


@pytest.fixture
async def records(clients: tuple[AggregatorClient, AggregatorClient]) -> AsyncIterator[CallRecordOutbox]:
    records = clients[1].call_records()
    yield records
    await records.aclose()


async def test_a_newer_deployment_replaces_the_aggregator_and_an_older_router_does_not_flip_it_back(
    clients: tuple[AggregatorClient, AggregatorClient], records: CallRecordOutbox
) -> None:
    older, newer = clients
    assert (await older.reserve(intent("e1"))).month_nanousd == 1_000
    assert not await runs_new_deployment()

    # The new deployment's first call finds the old aggregator, and ends it in order.
    assert (await newer.reserve(intent("e2"))).month_nanousd == 2_000
    assert await runs_new_deployment()

    # The old router's entries reach the new aggregator.
    await older.settle(settlement("e1", 700))
    assert (await newer.totals("acme")).settled_nanousd == 700
    assert await runs_new_deployment()

    records.start()
    records.add(call_record("e2"))
    async with asyncio.timeout(DEADLINE_S):
        while not await connected_replicas():
            await asyncio.sleep(0.05)

    # Without an aggregator, the old router may be the first to start one: it is refused.
    ray.kill(find_aggregator(), no_restart=True)
    with pytest.raises(CostsUnavailable):
        await older.totals("acme")
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                totals = await newer.totals("acme")
                break
            except CostsUnavailable:
                await asyncio.sleep(0.1)
    assert (totals.settled_nanousd, totals.reserved_nanousd) == (700, 1_000)
    assert await runs_new_deployment()
