"""A bill that the aggregator does not add up in time is an error that says what to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import aggregator_settings
from cluster.config.settings import BackendSettings, CostSettings
from routing.billing.bill import BillPage, BillQuery
from routing.errors import CostsUnavailable

PAGE = BillPage(rows=(), next_key=None)


class _Aggregator:
    """The handle of an aggregator that answers each bill with `answer`."""

    def __init__(self, answer: BillPage | None) -> None:
        self.answer = answer
        self.calls: list[tuple[object, ...]] = []

    async def call(self, *call: object) -> BillPage | None:
        self.calls.append(call)
        return self.answer


@pytest.fixture
def client() -> Any:
    settings = aggregator_settings(CostSettings(), BackendSettings(), environment={}, now_s=0.0)
    return AggregatorClient(settings)


async def test_a_page_of_the_aggregator_is_returned(client: Any) -> None:
    client._aggregator = _Aggregator(PAGE)
    assert await client.bill(BillQuery(), (), 10) == PAGE
    assert client._aggregator.calls == [("bill", BillQuery(), (), 10)]


async def test_a_bill_that_takes_too_long_names_the_command(client: Any) -> None:
    client._aggregator = _Aggregator(None)
    with pytest.raises(CostsUnavailable, match="rayroom bill"):
        await client.bill(BillQuery(), (), 10)
