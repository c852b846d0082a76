"""The ends of a cost transport; its tests run on asyncio's event loop and on uvloop, which the replicas use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from cluster.aggregator.transport import CostTransport
from tests.integration.cluster.cost_links import Aggregator, Relay


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    return loops | {"uvloop": uvloop.new_event_loop} if item.path.name.startswith("test_transport") else loops


@pytest.fixture
async def aggregator(tmp_path: Path) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.may_reply.set()
    await aggregator.server.aclose()
    await aggregator.commit_log.aclose()


@pytest.fixture
async def transport(aggregator: Aggregator) -> AsyncIterator[CostTransport]:
    transport = CostTransport(aggregator.find_address, aggregator.actor_call)
    yield transport
    await transport.aclose()


@pytest.fixture
async def relay(aggregator: Aggregator) -> AsyncIterator[Relay]:
    relay = Relay(await aggregator.find_address())
    yield relay
    await relay.aclose()
